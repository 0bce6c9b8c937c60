"""Makes tiny random ESPnet2 models of many kinds, and stores what they compute, for tests.

Run it in the environment of espnet_asr.py, whose parts it uses:

    export PYTHONPATH=$PWD
    cd tests/foreign
    espnet-venv/bin/python ../../tools/parity/espnet_variants.py \
        espnet-variants.safetensors espnet-lms.safetensors espnet-conformer

The first file has recognisers: of each, its name before a slash, weights (`NAME/model.…`), frames,
log-probabilities and losses of one utterance (`signal`). The second has language models, whose
labels are those of the last argument's recogniser: log-probabilities of some labels; and n-best
lists of that recogniser with the language model. Configurations and lists are in the metadata.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from espnet2.bin.asr_inference import Speech2Text
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.lm import LMTask
from safetensors import safe_open
from safetensors.torch import save_file

from asrkit.utf8 import use_utf8
from tools.parity.espnet_asr import make_config, make_units, outputs, plain, randomize, text_of

SMALL = {"output_size": 8, "attention_heads": 2, "linear_units": 12, "num_blocks": 1}
CHARACTERS = ["<blank>", "<unk>", "<space>", *"TESONIRH", "<sos/eos>"]
WORDS = ["<blank>", "<unk>", "two", "one", "five", "three", "<sos/eos>"]
LATEST = {"rel_pos_type": "latest", "cnn_module_kernel": 3}
VARIANTS: dict[str, dict[str, Any]] = {
    "transformer-char": {
        "encoder": "transformer",
        "encoder_conf": {**SMALL, "num_blocks": 2, "input_layer": "conv2d2"},
        "normalize": "utterance_mvn",
        "normalize_conf": {},
        "token_type": "char",
    },
    "transformer-bpe": {
        "encoder": "transformer",
        "encoder_conf": {**SMALL, "input_layer": "conv2d"},
        "normalize": "utterance_mvn",
        "normalize_conf": {"norm_vars": True},
    },
    "conformer-word": {
        "encoder": "conformer",
        "encoder_conf": {**SMALL, **LATEST, "input_layer": "conv2d6", "activation_type": "relu"},
        "token_type": "word",
    },
    "conformer-ctc": {
        "encoder": "conformer",
        "encoder_conf": {**SMALL, **LATEST, "input_layer": "conv2d8", "use_cnn_module": False},
        "normalize": None,
        "normalize_conf": {},
        "model_conf": {"ctc_weight": 1.0},
    },
    "e_branchformer-char": {
        "encoder": "e_branchformer",
        "encoder_conf": {
            **SMALL,
            "input_layer": "conv2d1",
            "cgmlp_linear_units": 12,
            "cgmlp_conv_kernel": 3,
            "gate_activation": "swish",
        },
        "token_type": "char",
    },
}
KEPT = (
    *("token_list", "token_type", "bpemodel", "model", "model_conf", "ctc_conf"),
    *("frontend", "frontend_conf", "specaug", "normalize", "normalize_conf"),
    *("preencoder", "encoder", "encoder_conf", "postencoder", "decoder", "decoder_conf"),
)
"""Keys of a configuration that say what a model computes."""
LMS: dict[str, dict[str, Any]] = {
    "transformer": {
        "lm": "transformer",
        "lm_conf": {"embed_unit": 6, "att_unit": 8, "head": 2, "unit": 12, "layer": 2},
    },
    "transformer-sinusoidal": {
        "lm": "transformer",
        "lm_conf": {
            "pos_enc": "sinusoidal",
            **{"embed_unit": 6, "att_unit": 8, "head": 2, "unit": 12, "layer": 1},
        },
    },
    "seq_rnn": {"lm": "seq_rnn", "lm_conf": {"unit": 6, "nhid": 8, "nlayers": 2}},
    "seq_rnn-tied": {"lm": "seq_rnn", "lm_conf": {"unit": 6, "nlayers": 1, "tie_weights": True}},
}
LABELS = [7, 3, 12, 9, 2]
BEAM = {"beam_size": 5, "nbest": 3}


def main() -> None:
    """Reads the command line, and writes the files."""
    use_utf8()
    parser = argparse.ArgumentParser()
    for name in ("variants", "lms", "recogniser"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    torch.manual_seed(7)
    with tempfile.TemporaryDirectory() as folder:
        store_variants(options.variants, Path(folder))
        store_lms(options.lms, options.recogniser, Path(folder))


def store_variants(path: Path, folder: Path) -> None:
    """Writes the file of recognisers."""
    tokens = make_units(folder)
    lists = {"bpe": tokens, "char": CHARACTERS, "word": WORDS}
    signal = (3000 * torch.randn(6200)).to(torch.int16)
    found, metadata = {"signal": signal}, {}
    for name, settings in VARIANTS.items():
        config = make_config("conformer", folder, tokens) | settings
        config["token_list"] = lists[config["token_type"]]
        config["decoder_conf"] = {"attention_heads": 2, "linear_units": 12, "num_blocks": 1}
        model = ASRTask.build_model(argparse.Namespace(**config))
        if model.decoder is not None:
            randomize(model)
        model.eval()
        text = torch.randint(2, len(config["token_list"]) - 1, (3,))
        tensors = {f"model.{n}": tensor for n, tensor in model.state_dict().items()}
        tensors |= {"text": text, **computed(model, signal, text)}
        found |= {f"{name}/{n}": tensor.contiguous().clone() for n, tensor in tensors.items()}
        weight = 1.0 if model.decoder is None else 0.3
        metadata[f"{name}/hypotheses"] = json.dumps(
            search(config, model, [signal], folder, ctc_weight=weight)
        )
        kept = {key: config[key] for key in KEPT if key in config}
        metadata[f"{name}/config"] = json.dumps(kept)
    for name in [each for each in found if "melmat" in each]:
        del found[name]
    save_file(found, path, metadata)


def computed(model: Any, signal: torch.Tensor, text: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns frames, log-probabilities and losses."""
    if model.decoder is not None:
        kept = ("frames", "ctc", "attention", "loss_ctc", "loss_att")
        found = outputs(model, [signal], [text], "")
        return {name: found[name] for name in kept}
    speech, length = signal[None].float() / 32768, torch.tensor([len(signal)])
    with torch.no_grad():
        frames, _ = model.encode(speech, length)
        loss = model(speech, length, text[None], torch.tensor([len(text)]))[1]["loss_ctc"]
    return {"frames": frames, "ctc": model.ctc.log_softmax(frames), "loss_ctc": loss}


def search(
    config: dict[str, Any], model: Any, signals: list[torch.Tensor], folder: Path, **others: Any
) -> list[Any]:
    """Returns n-best lists of (text, tokens, score) by ESPnet's own recogniser."""
    (folder / "asr.yaml").write_text(text_of(config), encoding="utf-8")
    torch.save(model.state_dict(), folder / "asr.pth")
    recogniser = Speech2Text(folder / "asr.yaml", folder / "asr.pth", **BEAM, **others)
    lists = [recogniser(signal.numpy() / np.float32(32768)) for signal in signals]
    return [[(text, tokens, float(hyp.score)) for text, tokens, _, hyp in best] for best in lists]


def store_lms(path: Path, recogniser: Path, folder: Path) -> None:
    """Writes the file of language models, and what is found with them."""
    config = yaml.safe_load((recogniser / "config.yaml").read_text(encoding="utf-8"))
    sums = np.ones(config["frontend_conf"]["n_mels"], dtype=np.float32)
    np.savez(folder / "feats_stats.npz", count=1, sum=sums, sum_square=2 * sums)
    config["normalize_conf"] = {"stats_file": str(folder / "feats_stats.npz")}
    model = ASRTask.build_model(argparse.Namespace(**config))
    with safe_open(recogniser / "tensors.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.startswith("model.")]  # noqa: SIM118
        model.load_state_dict({n.removeprefix("model."): file.get_tensor(n) for n in names})
        signals = [file.get_tensor(f"signal.{n}") for n in range(2)]
    model.eval()
    found: dict[str, torch.Tensor] = {}
    metadata = {}
    arguments = LMTask.get_parser().parse_args(["--output_dir", "exp"])
    for name, settings in LMS.items():
        lm_config = {k: v for k, v in vars(arguments).items() if plain(v)} | settings
        lm_config |= {key: config[key] for key in ("token_list", "token_type", "bpemodel")}
        lm = LMTask.build_model(argparse.Namespace(**lm_config)).eval()
        for tensor in lm.parameters():
            tensor.data.add_(0.3 * torch.randn_like(tensor))
        read = torch.tensor([[len(config["token_list"]) - 1, *LABELS]])
        with torch.no_grad():
            log_probs = lm.lm(read, None)[0].log_softmax(2)
        found |= {f"{name}/model.{n}": t.contiguous().clone() for n, t in lm.state_dict().items()}
        found[f"{name}/log_probs"] = log_probs.contiguous()
        (folder / "lm.yaml").write_text(text_of(lm_config), encoding="utf-8")
        torch.save(lm.state_dict(), folder / "lm.pth")
        places = {"lm_train_config": folder / "lm.yaml", "lm_file": folder / "lm.pth"}
        lists = search(config, model, signals, folder, ctc_weight=0.3, lm_weight=0.5, **places)
        kept = ("lm", "lm_conf", "model", "token_list", "token_type", "bpemodel")
        metadata[f"{name}/config"] = json.dumps({key: lm_config[key] for key in kept})
        metadata[f"{name}/hypotheses"] = json.dumps(lists)
    found["labels"] = torch.tensor(LABELS)
    save_file(found, path, metadata)


if __name__ == "__main__":
    main()
