"""Makes small random RETURNN models, and stores what they compute, for tests of imports.

Run it in an environment of its own with `returnn`, `subword-nmt` and `safetensors`; asrkit needs
none:

    export PYTHONPATH=.
    returnn-venv/bin/python tools/parity/returnn_asr.py tests/foreign/returnn

The folder then holds bpe.vocab and bpe.codes as RETURNN has them, and a file of tensors of each
model: weights (`model.NAME`) and what comes of the first utterance (`0.`): features, the output of
each layer, scores and losses; in aed.safetensors also the utterances, what comes of the second
one (`1.`), the frames of both in a padded batch (`batch.`), features of audio that a data set has
read (`N.peak`), scores where the outputs of zoneout are read (`zoned.`), and hypotheses in the
metadata.
"""

from __future__ import annotations

import argparse
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import returnn.frontend as rf
import torch
import tree
from returnn.datasets.util.feature_extraction import ExtractAudioFeatures
from returnn.datasets.util.vocabulary import Vocabulary
from returnn.tensor import Dim, Tensor
from returnn.torch.frontend.bridge import rf_module_to_pt_module
from safetensors.torch import save_file
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

from tools.parity.returnn_models import LstmLm, MiniLstm, Recogniser, transformer_lm
from tools.parity.returnn_sizes import LAYERS, SMOOTHING

TEXTS = ["one two three", "four five six", "seven eight nine", "ten eleven twelve", "no", "yes"]
SPLIT = "eleven tens no oneyes"
BEAM = 4


def main() -> None:
    """Reads the command line, and writes the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    rf.select_backend_torch()
    rf.init_forward_step_run_ctx()
    torch.manual_seed(7)
    units, split = make_units(folder)
    labels = Dim(len(units), name="labels")
    labels.vocab = Vocabulary.create_vocab_from_labels(units, eos_label=0)
    signals = [(3000 * torch.randn(length)).to(torch.int16) for length in (9400, 7000)]
    texts = [torch.randint(1, len(units), (length,)) for length in (3, 2)]
    inputs = {f"signal.{n}": s for n, s in enumerate(signals)}
    inputs |= {f"text.{n}": t for n, t in enumerate(texts)}
    with torch.no_grad():
        aed, zoned = Recogniser(labels), Recogniser(labels, zoneout_output=True)
        until_it_ends(aed, signals)
        copy_parameters(aed, zoned)
        found = inputs | outputs(aed, signals[:1], texts[:1], "0.")
        found |= outputs(aed, signals[1:], texts[1:], "1.")
        found |= {f"{n}.peak": of_a_data_set(aed, signal) for n, signal in enumerate(signals)}
        found["batch.frames"] = outputs(aed, signals, texts, "batch.")["batch.frames"]
        found["zoned.attention"] = outputs(zoned, signals[:1], texts[:1], "0.")["0.attention"]
        hypotheses = [search(aed, signal) for signal in signals]
        said = {"hypotheses": json.dumps(hypotheses), "split": json.dumps([SPLIT, split])}
        write(folder / "aed.safetensors", aed, found, said)
        read = torch.nn.functional.pad(torch.cat(texts), (1, 0))
        for name, model in language_models(labels).items():
            randomize(model)
            found = {"read": read, "scores": lm_scores(model, read, labels)}
            write(folder / f"{name}.safetensors", model, found, {})
        mini = internal_of(aed)
        found = {"read": read, "scores": mini_scores(mini, aed, read)}
        write(folder / "mini_lstm.safetensors", mini, found, {})


def make_units(folder: Path) -> tuple[list[str], str]:
    """Learns units as the recipes do, writes them, and returns them and a text's split."""
    codes = io.StringIO()
    learn_bpe(io.StringIO("\n".join(TEXTS * 2)), codes, 12)
    (folder / "bpe.codes").write_text(codes.getvalue(), encoding="utf-8")
    codes.seek(0)
    bpe = BPE(codes)
    split = bpe.process_line(SPLIT)
    letters = sorted({letter for text in TEXTS for letter in text if letter != " "})
    found = {unit for text in (*TEXTS, SPLIT) for unit in bpe.process_line(text).split()}
    found |= set(letters) | {f"{letter}@@" for letter in letters}
    units = ["</s>", *sorted(found)]
    vocabulary = {"<s>": 0, **{unit: number for number, unit in enumerate(units)}}
    (folder / "bpe.vocab").write_text(repr(vocabulary) + "\n", encoding="utf-8")
    return units, split


def randomize(model: rf.Module) -> None:
    """Gives all parameters and running statistics values that show mistakes."""
    for name, parameter in model.named_parameters():
        tensor = parameter.raw_tensor
        if name.endswith("running_variance"):
            tensor.copy_(torch.rand(tensor.shape) * 1.5 + 0.5)
        elif name.endswith(("scale", "gamma")):
            tensor.copy_(1 + 0.2 * torch.randn(tensor.shape))
        else:
            tensor.copy_(torch.randn(tensor.shape) * (0.3 if tensor.dim() < 2 else 0.4))


def until_it_ends(model: Recogniser, signals: list[torch.Tensor]) -> None:
    """Gives a decoder other parameters until its hypotheses are some labels long, and end."""
    for _ in range(200):
        randomize(model)
        model.target_embed.weight.raw_tensor.mul_(4)
        model.output_prob.weight.raw_tensor.mul_(1.5)
        model.output_prob.bias.raw_tensor[0] += 3.0
        found = [search(model, signal) for signal in signals]
        longest = [max((len(labels) for labels, _ in best), default=0) for best in found]
        if min(longest) > 2 and all(len(best[0][0]) for best in found):
            return
    raise RuntimeError("no random decoder ends its hypotheses by itself")


def copy_parameters(source: rf.Module, target: rf.Module) -> None:
    """Gives a model the parameters of another one."""
    theirs = dict(source.named_parameters())
    for name, parameter in target.named_parameters():
        parameter.raw_tensor.copy_(theirs[name].raw_tensor)


def language_models(labels: Dim) -> dict[str, Any]:
    """Returns language models by name."""
    without = {"pos_enc": None, "ff_activation": rf.gelu}
    return {
        "lstm_lm": LstmLm(labels),
        "transformer_lm": transformer_lm(labels),
        "transformer_lm-gelu": transformer_lm(labels, **without),
    }


def internal_of(aed: Recogniser) -> MiniLstm:
    """Returns the internal language model of a recogniser, with its weights where they are."""
    mini = MiniLstm(aed)
    randomize(mini)
    theirs = dict(aed.named_parameters())
    for name, parameter in mini.named_parameters():
        if name.startswith("prior_"):
            parameter.raw_tensor.copy_(theirs[name.removeprefix("prior_")].raw_tensor)
    return mini


def write(path: Path, model: rf.Module, found: dict[str, torch.Tensor], said: Any) -> None:
    """Writes weights, by their names in a checkpoint, and what the model computed."""
    state = rf_module_to_pt_module(model).state_dict()
    weights = {f"model.{name}": tensor.clone() for name, tensor in state.items()}
    everything = weights | found
    save_file({name: tensor.contiguous() for name, tensor in everything.items()}, path, said)


def batched(
    tensors: list[torch.Tensor], name: str, batch: Dim | None = None
) -> tuple[torch.Tensor, Dim, Dim]:
    """Returns padded tensors with the axes of the batch and of time."""
    batch = batch or Dim(len(tensors), name="batch")
    lengths = torch.tensor([len(tensor) for tensor in tensors], dtype=torch.int32)
    time = Dim(Tensor("lengths", dims=[batch], dtype="int32", raw_tensor=lengths), name=name)
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), batch, time


def of_a_data_set(model: Recogniser, signal: torch.Tensor) -> torch.Tensor:
    """Returns features (1, T, F) of a signal (N,), whose audio a data set has read."""
    extract = ExtractAudioFeatures(features="raw", num_feature_filters=1)
    audio = extract.get_audio_features(signal.double().numpy() / 32768, 16000)  # (N, 1)
    padded, batch, samples = batched([torch.from_numpy(audio[:, 0])], "samples")
    speech = Tensor("speech", [batch, samples], "float32", raw_tensor=padded)
    return raw(model.encode(speech, samples)[0]["features"], batch)


def outputs(
    model: Recogniser, signals: list[torch.Tensor], texts: list[torch.Tensor], prefix: str
) -> dict[str, torch.Tensor]:
    """Returns what a recogniser computes of utterances in one batch."""
    padded, batch, samples = batched(signals, "samples")
    speech = Tensor("speech", [batch, samples], "float32", raw_tensor=padded.float() / 32768)
    parts, time = model.encode(speech, samples)
    lengths = time.get_size_tensor().raw_tensor.expand(len(signals)).clone()
    found = {f"{prefix}{n}": raw(t, batch) for n, t in parts.items()} | {
        prefix + "lengths": lengths
    }
    ended = [torch.nn.functional.pad(text, (0, 1)) for text in texts]
    padded, _, u = batched(ended, "labels", batch)
    targets = Tensor("t", [batch, u], "int64", sparse_dim=model.labels, raw_tensor=padded)
    for layer in range(1, LAYERS + 1):
        logits = getattr(model, f"enc_aux_logits_{layer}")(parts[f"block{layer}"])
        loss = rf.ctc_loss(
            logits=logits,
            targets=targets,
            input_spatial_dim=time,
            targets_spatial_dim=u,
            blank_index=model.blank,
        )
        found[f"{prefix}ctc_{layer}"] = raw(rf.log_softmax(logits, axis=logits.feature_dim), batch)
        found[f"{prefix}loss_ctc_{layer}"] = loss.raw_tensor
    scores = teacher_forced(model, padded, parts["frames"], batch, time)
    loss, gradient = decoder_loss(model, scores, targets, [batch, u])
    found |= {f"{prefix}loss_attention": loss, f"{prefix}gradient_attention": gradient}
    return found | {f"{prefix}attention": scores}


@torch.enable_grad()
def decoder_loss(
    model: Recogniser, scores: torch.Tensor, targets: Tensor, dims: list[Dim]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the loss of scores (B, U + 1, V), and its gradient there, of smoothed labels."""
    leaf = scores.clone().requires_grad_()
    logits = Tensor("s", [*dims, model.labels], "float32", raw_tensor=leaf)
    logits.feature_dim = model.labels
    log_probs = rf.log_softmax(logits, axis=model.labels)
    smoothed = rf.label_smoothed_log_prob_gradient(log_probs, SMOOTHING, axis=model.labels)
    losses = rf.cross_entropy(
        target=targets, estimated=smoothed, estimated_type="log-probs", axis=model.labels
    )
    loss = rf.reduce_sum(losses, axis=dims[1], use_mask=True).raw_tensor
    loss.sum().backward()
    assert leaf.grad is not None
    return loss.detach(), leaf.grad


def teacher_forced(
    model: Recogniser, labels: torch.Tensor, frames: Tensor, batch: Dim, time: Dim
) -> torch.Tensor:
    """Returns unnormalised scores (B, U + 1, V) of labels (B, U + 1) that end."""
    size = model.target_embed.out_dim
    read = rf.zeros([batch, size], feature_dim=size)
    state, found = model.initial([batch], time), []
    for column in labels.unbind(1):
        scores, state = model.step(read, state, frames, time)
        found.append(raw(scores, batch))
        label = Tensor("y", [batch], "int64", sparse_dim=model.labels, raw_tensor=column)
        read = model.target_embed(label)
    return torch.stack(found, 1)


def raw(tensor: Tensor, batch: Dim) -> torch.Tensor:
    """Returns a tensor with the batch first and features last."""
    others = [dim for dim in tensor.dims if dim not in (batch, tensor.feature_dim)]
    found: torch.Tensor = tensor.copy_transpose([batch, *others, tensor.feature_dim]).raw_tensor
    return found.clone()


def search(model: Recogniser, signal: torch.Tensor) -> list[Any]:
    """Returns n-best lists of (labels, score), as `model_recog` of the public setups finds them.

    They are empty where hypotheses had to end at the limit.

    Source: conformer_import_moh_att_2023_06_30.py, `model_recog`.
    """
    padded, batch, samples = batched([signal], "samples")
    speech = Tensor("speech", [batch, samples], "float32", raw_tensor=padded.float() / 32768)
    parts, time = model.encode(speech, samples)
    limit = int(time.get_size_tensor().raw_tensor.max())
    beam = Dim(1, name="beam")
    state = model.initial([beam, batch], time)
    size, dims = model.target_embed.out_dim, [beam, batch]
    read = rf.zeros([*dims, size], feature_dim=size)
    ended, total = rf.constant(False, dims=dims), rf.constant(0.0, dims=dims)
    step = 0
    lists: list[list[int]] = [[] for _ in range(BEAM)]
    while True:
        scores, state = model.step(read, state, parts["frames"], time)
        only_eos = rf.sparse_to_dense(
            model.eos, axis=model.labels, label_value=0.0, other_value=-1.0e30
        )
        log_probs = rf.where(ended, only_eos, rf.log_softmax(scores, axis=model.labels))
        total, (before, label), beam = rf.top_k(
            total + log_probs, k_dim=Dim(BEAM, name=f"beam{step}"), axis=[beam, model.labels]
        )
        state = tree.map_structure(partial(rf.gather, indices=before), state)
        flat = before.raw_tensor.reshape(-1).tolist(), label.raw_tensor.reshape(-1).tolist()
        lists = [[*lists[b], y] for b, y in zip(*flat, strict=True)]
        step += 1
        ended = rf.logical_or(rf.gather(ended, indices=before), label == model.eos)
        if step >= limit or bool(ended.raw_tensor.all()):
            break
        if step > 1:
            total *= rf.where(ended, step / (step - 1), 1.0)
        read = model.target_embed(label)
    if step >= limit:
        return []
    return [
        ([y for y in labels if y != model.eos], float(score) / step)
        for labels, score in zip(lists, total.raw_tensor.reshape(-1), strict=True)
    ]


def lm_scores(model: Any, read: torch.Tensor, labels: Dim) -> torch.Tensor:
    """Returns unnormalised scores (1, L, V) after each label read (L,)."""
    padded, batch, time = batched([read], "labels")
    given = Tensor("y", [batch, time], "int64", sparse_dim=labels, raw_tensor=padded)
    if isinstance(model, LstmLm):
        return raw(model(given, time, [batch]), batch)
    state = model.default_initial_state(batch_dims=[batch])
    return raw(model(given, spatial_dim=time, state=state)[0], batch)


def mini_scores(mini: MiniLstm, aed: Recogniser, read: torch.Tensor) -> torch.Tensor:
    """Returns unnormalised scores (1, L, V): zeros are read first, then labels (L - 1,)."""
    batch, size = Dim(1, name="batch"), aed.target_embed.out_dim
    state, found = mini.initial([batch]), []
    embedded = rf.zeros([batch, size], feature_dim=size)
    for label in [*read[1:], torch.tensor(0)]:
        scores, state = mini.step(embedded, state)
        found.append(raw(scores, batch))
        given = Tensor("y", [batch], "int64", sparse_dim=aed.labels, raw_tensor=label[None])
        embedded = aed.target_embed(given)
    return torch.stack(found, 1)


if __name__ == "__main__":
    main()
