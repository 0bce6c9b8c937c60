"""Makes a small random ESPnet2 recogniser, and stores what it computes, for tests of imports.

Run it in an environment of its own with `espnet==202511` and `safetensors`; asrkit needs none:

    export PYTHONPATH=.
    espnet-venv/bin/python tools/parity/espnet_asr.py conformer tests/foreign/espnet-conformer

The folder then holds config.yaml and bpe.model as ESPnet has them, and tensors.safetensors: weights
(`model.NAME`), and of each utterance, alone (`0.`, `1.`) and in a padded batch (`batch.`), the
features, the output of each layer, log-probabilities and losses. Its metadata holds hypotheses.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask
from safetensors.torch import save_file

from asrkit.utf8 import use_utf8

TEXTS = ["one two three", "four five six", "seven eight nine", "ten eleven twelve", "no", "yes"]
SIZE = 12
FRONTEND = {"fs": "16k", "n_fft": 256, "win_length": 200, "hop_length": 160, "n_mels": 20}
MASKS = {
    "apply_time_warp": False,
    "freq_mask_width_range": [0, 4],
    "time_mask_width_range": [0, 9],
}
ENCODERS: dict[str, dict[str, Any]] = {
    "conformer": {
        "encoder": "conformer",
        "encoder_conf": {
            "output_size": SIZE,
            "attention_heads": 2,
            "linear_units": 16,
            "num_blocks": 2,
            "macaron_style": True,
            "rel_pos_type": "latest",
            "cnn_module_kernel": 5,
        },
    },
    "e_branchformer": {
        "encoder": "e_branchformer",
        "encoder_conf": {
            "output_size": SIZE,
            "attention_heads": 2,
            "linear_units": 16,
            "num_blocks": 2,
            "use_ffn": True,
            "macaron_ffn": True,
            "cgmlp_linear_units": 16,
            "cgmlp_conv_kernel": 5,
            "merge_conv_kernel": 3,
        },
    },
}


def main() -> None:
    """Reads the command line, and writes the folder."""
    use_utf8()
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(ENCODERS))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    tokens = make_units(options.folder)
    config = make_config(options.kind, options.folder, tokens)
    model = ASRTask.build_model(argparse.Namespace(**config))
    randomize(model)
    model.eval()
    weights = {f"model.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    signals = [(3000 * torch.randn(length)).to(torch.int16) for length in (6200, 4500)]
    texts = [torch.randint(2, len(tokens) - 1, (length,)) for length in (3, 2)]
    found: dict[str, torch.Tensor] = {}
    for number, (signal, text) in enumerate(zip(signals, texts, strict=True)):
        found |= outputs(model, [signal], [text], f"{number}.")
    found |= outputs(model, signals, texts, "batch.")
    hypotheses = search(config, model, signals)
    inputs = {f"signal.{n}": s for n, s in enumerate(signals)}
    inputs |= {f"text.{n}": t for n, t in enumerate(texts)}
    everything = {name: tensor.contiguous() for name, tensor in (weights | inputs | found).items()}
    path = options.folder / "tensors.safetensors"
    save_file(everything, path, {"hypotheses": json.dumps(hypotheses)})
    (options.folder / "config.yaml").write_text(text_of(config), encoding="utf-8")


def make_units(folder: Path) -> list[str]:
    """Trains units as ESPnet's recipes do, and returns ESPnet's list of tokens."""
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(folder / "bpe"),
        vocab_size=26,
        model_type="bpe",
        normalization_rule_name="identity",
        minloglevel=2,
    )
    (folder / "bpe.vocab").unlink()
    units = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
    pieces = [units.IdToPiece(i) for i in range(units.GetPieceSize())]
    plain = [piece for piece in pieces if piece not in ("<unk>", "<s>", "</s>")]
    return ["<blank>", "<unk>", *reversed(plain), "<sos/eos>"]  # by frequency, no order of pieces


def make_config(kind: str, folder: Path, tokens: list[str]) -> dict[str, Any]:
    """Returns a configuration with all keys, as training writes it."""
    statistics = Path(tempfile.mkdtemp()) / "feats_stats.npz"
    sums = np.random.RandomState(7).randn(20).astype(np.float32) * 50 - 300
    np.savez(statistics, count=100, sum=sums, sum_square=sums**2 / 100 + 400)
    arguments = ASRTask.get_parser().parse_args(["--output_dir", "exp"])
    config = vars(arguments) | {
        "token_list": tokens,
        "token_type": "bpe",
        "bpemodel": str(folder / "bpe.model"),
        "input_size": None,
        "frontend": "default",
        "frontend_conf": FRONTEND,
        "specaug": "specaug",
        "specaug_conf": MASKS,
        "normalize": "global_mvn",
        "normalize_conf": {"stats_file": str(statistics)},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 2},
        "model_conf": {"ctc_weight": 0.3, "lsm_weight": 0.1, "length_normalized_loss": False},
        **ENCODERS[kind],
    }
    return {key: value for key, value in config.items() if plain(value)}


def text_of(config: dict[str, Any]) -> str:
    """Returns a configuration as YAML without references, as training writes it."""
    return str(yaml.safe_dump(json.loads(json.dumps(config))))


def plain(value: Any) -> bool:
    """Returns whether YAML can hold a value."""
    return isinstance(value, (dict, list, tuple, str, int, float, bool, type(None)))


def randomize(model: Any) -> None:
    """Gives all parameters and running statistics values that show mistakes."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
        elif name.endswith("running_mean"):
            tensor.normal_(std=0.3)
        elif not name.startswith(("normalize", "frontend")) and tensor.is_floating_point():
            tensor.add_(0.15 * torch.randn_like(tensor))
    for layer in (model.ctc.ctc_lo, model.decoder.output_layer):
        layer.weight.data.mul_(4.0)
    # Hypotheses should end by themselves: at its limit, ESPnet ends them without a score.
    model.decoder.output_layer.bias.data[-1] += 4.0
    model.ctc.ctc_lo.bias.data[0] += 4.0


@torch.no_grad()
def outputs(
    model: Any, signals: list[torch.Tensor], texts: list[torch.Tensor], prefix: str
) -> dict[str, torch.Tensor]:
    """Returns what the model computes of some utterances in one batch."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            while isinstance(output, tuple):
                output = output[0]
            found[prefix + name] = output.clone()

        return hook

    places = {"embed": model.encoder.embed}
    places |= {f"block{n}": block for n, block in enumerate(model.encoder.encoders, start=1)}
    places["features"] = model.normalize
    places |= {f"decoder{n}": block for n, block in enumerate(model.decoder.decoders, start=1)}
    hooks = [module.register_forward_hook(keep(name)) for name, module in places.items()]
    lengths = torch.tensor([len(signal) for signal in signals])
    text_lengths = torch.tensor([len(text) for text in texts])
    speech = torch.nn.utils.rnn.pad_sequence(signals, batch_first=True).float() / 32768
    text = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=-1)
    loss, statistics, _ = model(speech, lengths, text, text_lengths)
    frames, frame_lengths = model.encode(speech, lengths)
    for hook in hooks:
        hook.remove()
    found[prefix + "frames"], found[prefix + "lengths"] = frames, frame_lengths
    found[prefix + "ctc"] = model.ctc.log_softmax(frames)
    read = torch.nn.functional.pad(text.clamp(min=0), (1, 0), value=model.sos)
    logits, _ = model.decoder(frames, frame_lengths, read, text_lengths + 1)
    found[prefix + "attention"] = logits
    found[prefix + "loss"] = loss
    for name in ("loss_ctc", "loss_att"):
        found[prefix + name] = statistics[name]
    return found


def search(config: dict[str, Any], model: Any, signals: list[torch.Tensor]) -> list[Any]:
    """Returns n-best lists of (text, tokens, score) by ESPnet's own recogniser."""
    folder = Path(tempfile.mkdtemp())
    (folder / "config.yaml").write_text(text_of(config), encoding="utf-8")
    torch.save(model.state_dict(), folder / "model.pth")
    recogniser = Speech2Text(
        folder / "config.yaml", folder / "model.pth", beam_size=10, ctc_weight=0.3, nbest=5
    )
    lists = [recogniser(signal.numpy() / np.float32(32768)) for signal in signals]
    return [[(text, tokens, float(hyp.score)) for text, tokens, _, hyp in best] for best in lists]


if __name__ == "__main__":
    main()
