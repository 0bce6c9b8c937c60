"""Prints how far imported models are from what the other toolkits computed, as Markdown tables.

    PYTHONPATH=. python tools/parity/report.py

It imports the small models of tests/foreign; docs/import.md shows what it printed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.experiment import import_model
from asrkit.experiment.import_model import Toolkit
from asrkit.experiment.runs import open_run
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.language_model import LanguageModel
from asrkit.nn.features import Features
from asrkit.nn.masking import length_mask
from asrkit.nn.signal_normalization import PeakNormalization
from tests.foreign.comparison import decoder_loss, found_by, layers_of, least_loss
from tests.foreign.stored_models import HERE, put_espnet, put_returnn

TOLD = {
    "features": "features",
    "peak": "features of recordings divided by their peak",
    "embed": "convolutions",
    "block1": "layer 1",
    "block2": "layer 2",
    "frames": "encoder",
    "ctc": "log-probabilities of CTC",
    "attention": "scores of the decoder",
    "loss_ctc": "loss of CTC, relative",
    "loss_attention": "loss of the decoder, relative",
    "hypotheses": "scores of hypotheses",
}
LANGUAGE_MODELS = {
    "transformer_lm": "Transformer",
    "transformer_lm-gelu": "Transformer, GELU, no positions",
    "lstm_lm": "LSTMs",
    "mini_lstm": "mini-LSTM",
}


@dataclass(frozen=True)
class Model:
    """A small model that is stored.

    Args:
        title: Its column.
        toolkit: Where it comes from.
        put: Writes its checkpoint into a folder, and returns the path.
        stored: What it computed.
        ctc: Name of a CTC head here and there.
        loss: Name of the decoder's loss there.
        smoothed: Whether that is the loss of smoothed labels, less the least that it can be.
        order: Returns their number of each output here, of V there, for CTC and the decoder.
        search: Name of a search here that is theirs, and settings.
        one_less: Whether scores there are of a symbol less than the longest hypothesis has.
    """

    title: str
    toolkit: Toolkit
    put: Callable[[Path], Path]
    stored: Path
    ctc: str
    loss: str
    smoothed: bool
    order: Callable[[int], tuple[list[int], list[int]]]
    search: tuple[str, ...]
    one_less: bool = False


def of_espnet(size: int) -> tuple[list[int], list[int]]:
    """Returns ESPnet's numbers of the outputs here: blank is first there, end of sentence last."""
    labels = list(range(1, size - 1))
    return [*labels, 0, size - 1], [*labels, size - 1, 0]


def of_returnn(size: int) -> tuple[list[int], list[int]]:
    """Returns RETURNN's numbers of the outputs here: end of sentence is first there."""
    labels = list(range(1, size))
    return [*labels, 0, size], [*labels, 0]


def espnet(kind: str, title: str) -> Model:
    """Returns a model of ESPnet."""
    stored = HERE / f"espnet-{kind}" / "tensors.safetensors"

    def put(folder: Path) -> Path:
        return put_espnet(folder, kind)

    search = ("joint", "nbest=5")
    return Model(title, "espnet", put, stored, "ctc", "loss_att", True, of_espnet, search)


def returnn(kind: str, suffix: str, title: str, ctc: str) -> Model:
    """Returns a model of RETURNN."""
    stored = HERE / "returnn" / f"{kind}.safetensors"

    def put(folder: Path) -> Path:
        return put_returnn(folder, kind, suffix)

    tf, search = kind == "tf", ("attention", "beam_size=4")
    return Model(
        title, "returnn", put, stored, ctc, "loss_attention", tf, of_returnn, search, not tf
    )


MODELS = [
    espnet("conformer", "ESPnet, Conformer"),
    espnet("e_branchformer", "ESPnet, E-Branchformer"),
    returnn("aed", ".pt", "RETURNN, PyTorch", "ctc_2"),
    returnn("tf", ".safetensors", "RETURNN, TensorFlow", "ctc"),
]


def main() -> None:
    """Prints the tables."""
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    with torch.no_grad():
        columns = {
            model.title: differences(model, folder / str(n)) for n, model in enumerate(MODELS)
        }
        print("| largest difference |", " | ".join(columns), "|")
        print("|---|" + "---|" * len(columns))
        for layer in TOLD:
            cells = [shown(column.get(layer)) for column in columns.values()]
            print(f"| {TOLD[layer]} |", " | ".join(cells), "|")
        print("\n| language models of RETURNN | scores |\n|---|---|")
        aed = folder / "2" / "run"
        for kind, title in LANGUAGE_MODELS.items():
            print(f"| {title} | {shown(of_language_model(kind, folder / kind, aed))} |")


def shown(value: float | None) -> str:
    """Returns a number as a cell."""
    return "–" if value is None else f"{value:.1e}"


def differences(model: Model, folder: Path) -> dict[str, float]:
    """Returns the largest difference of each layer, of all utterances that are stored."""
    run = import_model(model.toolkit, model.put(folder), folder / "run").run
    found, _ = open_run(run).model("average")
    assert isinstance(found, AsrModel)
    expected = load_file(model.stored)
    inputs = load_file(HERE / "returnn" / "aed.safetensors") | expected
    largest: dict[str, float] = {}
    for number in ("0", "1"):
        if f"{number}.features" not in expected:
            continue
        for name, output in losses(found, model, inputs, number).items():
            theirs = expected[f"{number}.{name}"]
            gap = float((output / theirs - 1).abs().max())
            name = "loss_attention" if name == model.loss else "loss_ctc"
            largest[name] = max(largest.get(name, 0.0), gap)
        for name, output in computed(found, model, inputs, number).items():
            stored_as = model.ctc if name == "ctc" else name
            if f"{number}.{stored_as}" in expected:
                theirs = ordered(expected[f"{number}.{stored_as}"], name, model)
                difference = output - theirs[..., : output.shape[-1]]
                largest[name] = max(largest.get(name, 0.0), float(difference.abs().max()))
    return largest | {"hypotheses": of_hypotheses(model, run, inputs)}


def of_hypotheses(model: Model, run: Path, inputs: dict[str, Tensor]) -> float:
    """Returns the largest difference of scores of hypotheses that both have found."""
    lines = found_by(run, [inputs[f"signal.{number}"] for number in (0, 1)], *model.search)
    with safe_open(model.stored, "pt") as file:
        hypotheses = json.loads(file.metadata()["hypotheses"])
    symbols = open_run(run).vocabulary.symbols
    gaps: list[float] = []
    for line, theirs in zip(lines, hypotheses, strict=True):
        ours = {tuple(symbols[n] for n in each.labels): each.score for each in line.hypotheses}
        steps = 1 + max(len(labels) for *_, labels, _ in theirs)
        factor = steps / (steps - 1) if model.one_less else 1.0
        for *_, labels, score in theirs:
            named = tuple(x if isinstance(x, str) else symbols[x - 1] for x in labels)
            if named in ours:
                gaps.append(abs(ours[named] - score * factor))
    return max(gaps)


def ordered(theirs: Tensor, name: str, model: Model) -> Tensor:
    """Returns what is stored, outputs in the order that they have here."""
    size = theirs.shape[-1]
    if name == "attention":
        return theirs[..., model.order(size)[1]]
    if name == "ctc":
        labels = size if model.toolkit == "espnet" else size - 1
        return theirs[..., model.order(labels)[0]]
    return theirs


def computed(
    model: AsrModel, kind: Model, inputs: dict[str, Tensor], number: str
) -> dict[str, Tensor]:
    """Returns what a model computes of an utterance, by the names of what is stored."""
    encoded, found = layers_of(model, inputs[f"signal.{number}"])
    ctc, attention = model.heads[kind.ctc], model.heads["attention"]
    assert isinstance(ctc, CtcHead)
    assert isinstance(attention, AttentionHead)
    read = F.pad(inputs[f"text.{number}"] - 1, (1, 0), value=attention.eos)[None]
    mask = length_mask(encoded.lengths)
    return found | {
        "peak": of_equal_peak(model.features, inputs[f"signal.{number}"]),
        "ctc": ctc.symbol_log_probs(encoded),
        "attention": attention.decoder(read, encoded.frames, mask),
    }


def of_equal_peak(features: Features, signal: Tensor) -> Tensor:
    """Returns the features (1, T, F) of a signal (N,) divided by its peak."""
    as_given = features.signal_normalization
    features.signal_normalization = PeakNormalization()
    found: Tensor = features(signal[None], torch.tensor([len(signal)]))[0]
    features.signal_normalization = as_given
    return found


def losses(
    model: AsrModel, kind: Model, inputs: dict[str, Tensor], number: str
) -> dict[str, Tensor]:
    """Returns the losses of an utterance, by the names of what is stored."""
    signal, labels = inputs[f"signal.{number}"][None], inputs[f"text.{number}"][None] - 1
    sizes = torch.tensor([signal.shape[1]]), torch.tensor([labels.shape[1]])
    batch = Batch([number], signal, sizes[0], labels, sizes[1])
    encoded = model.encode(signal, sizes[0])
    ctc, attention = model.heads[kind.ctc], model.heads["attention"]
    assert isinstance(ctc, CtcHead)
    assert isinstance(attention, AttentionHead)
    loss = decoder_loss(attention, encoded, batch, kind.smoothed)
    if kind.smoothed:
        outputs = attention.decoder(labels, encoded.frames, length_mask(encoded.lengths)).shape[2]
        loss = loss - (labels.shape[1] + 1) * least_loss(attention.label_smoothing, outputs)
    return {f"loss_{kind.ctc}": ctc.loss(encoded, batch)["loss"].total, kind.loss: loss}


def of_language_model(kind: str, folder: Path, recogniser: Path) -> float:
    """Returns the largest difference of a language model's scores."""
    checkpoint = put_returnn(folder, kind)
    where = recogniser if kind == "mini_lstm" else None
    run = import_model("returnn", checkpoint, folder / "run", decoder_of=where).run
    model, _ = open_run(run).model("average")
    assert isinstance(model, LanguageModel)
    expected = load_file(HERE / "returnn" / f"{kind}.safetensors")
    size = expected["scores"].shape[-1]
    read, nothing = (expected["read"] - 1) % size, torch.zeros(1, 0, dtype=torch.bool)
    theirs = expected["scores"][..., of_returnn(size)[1]]
    return float((model.decoder(read[None], None, nothing) - theirs).abs().max())


if __name__ == "__main__":
    main()
