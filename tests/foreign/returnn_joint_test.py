"""Four imported models of RETURNN in one search, two of which have encoders of their own.

The attention of one recogniser, the CTC of another, a language model and a mini-LSTM as internal
one: what searches say is compared with sums of what each model says of whole label sequences.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from asrkit.data.manifests import Source, write_manifest
from asrkit.experiment import decode, import_model
from asrkit.experiment.runs import open_run
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.language_model import LanguageModel
from asrkit.run_files import WrittenHypothesis, read_nbest
from asrkit.run_folder import RunFolder
from tests.foreign.returnn_test import SIZE, TENSORS, UTTERANCES
from tests.foreign.stored_models import put_returnn_models

V = SIZE - 1
"""Labels without end of sentence."""
WEIGHTS = {"attention": 0.7, "ctc_x": 0.4, "lm": 0.5, "ilm": -0.3}


@dataclass(frozen=True)
class Imported:
    """Runs of the imported models in one folder, and a spec of searches with all of them."""

    folder: Path

    @property
    def spec(self) -> Path:
        return self.folder / "all.yaml"

    def run(self, name: str) -> Path:
        return self.folder / "run" / name

    def recogniser(self, name: str) -> AsrModel:
        model, _ = open_run(self.run(name)).model("average")
        assert isinstance(model, AsrModel)
        return model

    def language_model(self, name: str) -> LanguageModel:
        model, _ = open_run(self.run(name)).model("average")
        assert isinstance(model, LanguageModel)
        return model


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder = tmp_path_factory.mktemp("joint")
    found = Imported(folder)
    put_returnn_models(folder / "exp")
    for name, file in (("aed", "aed.pt"), ("ctc", "ctc.safetensors"), ("lm", "transformer_lm.pt")):
        import_model("returnn", folder / "exp" / name / file, found.run(name))
    checkpoint = folder / "exp" / "ilm" / "mini_lstm.pt"
    import_model("returnn", checkpoint, found.run("ilm"), decoder_of=found.run("aed"))
    sources = []
    for number in UTTERANCES:
        path = folder / f"{number}.wav"
        soundfile.write(path, TENSORS[f"signal.{number}"].numpy(), 16000)
        sources.append(Source(number, path, "one two", "speaker"))
    write_manifest(folder / "data", "test", sources)
    found.spec.write_text(yaml.safe_dump({"decoding": searches(found)}))
    return found


def searches(imported: Imported) -> dict[str, object]:
    estimation = {"type": "mini_lstm", "run": str(imported.run("ilm"))}
    scorers = {
        "attention": WEIGHTS["attention"],
        "ctc_x": {"type": "ctc", "head": "ctc", "run": str(imported.run("ctc"))},
        "lm": {"type": "language_model", "run": str(imported.run("lm"))},
        "ilm": {"type": "internal_lm", "estimation": estimation},
    }
    for name, entry in scorers.items():
        if isinstance(entry, dict):
            entry["weight"] = WEIGHTS[name]
    by_label = {"type": "label_sync", "beam_size": 2 * V**2, "pre_beam": V, "max_length_ratio": 0.2}
    by_frame = {"type": "time_sync", "beam_size": 200, "frames": "ctc_x", "scale_blank": True}
    return {
        "by_label": by_label | {"scorers": scorers},
        "by_frame": by_frame | {"merge": "string_and_symbol", "scorers": scorers},
    }


def found_by(imported: Imported, search: str) -> list[list[WrittenHypothesis]]:
    run = imported.run("aed")
    decode(run, imported.folder / "data", "test", search, spec=imported.spec)
    lines = read_nbest(RunFolder(run).decoded_set(search, "test").nbest)
    return [line.hypotheses for line in lines]


def sums_by_label(model: AsrModel | LanguageModel, number: str, labels: Tensor) -> Tensor:
    """Returns log-probabilities (N,) of label sequences (N, L) and their end."""
    read = F.pad(labels, (1, 0), value=V)
    if isinstance(model, LanguageModel):
        logits = model.decoder(read, None, torch.zeros(len(read), 0, dtype=torch.bool))
    else:
        head = model.heads["attention"]
        assert isinstance(head, AttentionHead)
        signal = TENSORS[f"signal.{number}"]
        frames = model.encode(signal[None], torch.tensor([len(signal)])).frames
        mask = torch.ones(len(read), frames.shape[1], dtype=torch.bool)
        logits = head.decoder(read, frames.expand(len(read), -1, -1), mask)
    said: Tensor = logits.log_softmax(2)
    wanted = F.pad(labels, (0, 1), value=V)
    return said.gather(2, wanted[..., None])[..., 0].sum(1)


def frames_of(model: AsrModel, number: str) -> Tensor:
    """Returns log-probabilities (T, V + 1), where blank has the probability of the end, too."""
    head = model.heads["ctc"]
    assert isinstance(head, CtcHead)
    signal = TENSORS[f"signal.{number}"]
    said = head.symbol_log_probs(model.encode(signal[None], torch.tensor([len(signal)])))[0]
    assert said.shape[1] == V + 2
    return torch.cat([said[:, :V], said[:, V:].logsumexp(1, keepdim=True)], 1)


def all_paths(frames: Tensor, labels: Tensor) -> Tensor:
    """Returns log-probabilities (N,) of label sequences (N, L): sums over their paths."""
    count, size = labels.shape
    repeated = frames[:, None].expand(-1, count, -1)
    lengths = torch.full((count,), len(frames)), torch.full((count,), size)
    return -F.ctc_loss(repeated, labels, *lengths, blank=V, reduction="none")


def best_path(frames: Tensor, labels: list[int]) -> float:
    """Returns the log-probability of the best path of a label sequence."""
    states = [V, *itertools.chain.from_iterable((label, V) for label in labels)]
    best = {0: 0.0}
    for step, frame in enumerate(frames):
        after: dict[int, float] = {}
        for place, total in best.items():
            for following in (place, place + 1, place + 2):
                if following >= len(states):
                    continue
                skips = following == place + 2
                if skips and states[following] in (V, states[place]):
                    continue
                new = total + float(frame[states[following]])
                after[following] = max(new, after.get(following, -1e30))
        best = after if step else {p: float(frame[states[p]]) for p in (0, 1) if p < len(states)}
    return max(best.get(place, -1e30) for place in (len(states) - 1, len(states) - 2) if place >= 0)


@dataclass(frozen=True)
class Sums:
    """What the models say of whole label sequences of an utterance."""

    imported: Imported
    number: str

    @torch.no_grad()
    def by_label(self, labels: Tensor) -> dict[str, Tensor]:
        """Returns log-probabilities (N,) of label sequences (N, L), by scorer, but of CTC."""
        models: dict[str, AsrModel | LanguageModel] = {
            "attention": self.imported.recogniser("aed"),
            "lm": self.imported.language_model("lm"),
            "ilm": self.imported.language_model("ilm"),
        }
        return {name: sums_by_label(model, self.number, labels) for name, model in models.items()}

    @torch.no_grad()
    def frames(self) -> Tensor:
        return frames_of(self.imported.recogniser("ctc"), self.number)


def weighted(scores: dict[str, Tensor]) -> Tensor:
    return sum((WEIGHTS[name] * each for name, each in scores.items()), torch.zeros(()))


def every(most: int) -> list[Tensor]:
    """Returns all label sequences (N, L) of 0 to so many labels."""
    grids = [torch.cartesian_prod(*[torch.arange(V)] * size) for size in range(1, most + 1)]
    return [
        torch.zeros(1, 0, dtype=torch.long),
        *(grid.view(-1, size) for size, grid in enumerate(grids, 1)),
    ]


def test_the_encoders_differ(imported: Imported) -> None:
    signal = TENSORS["signal.0"]
    with torch.no_grad():
        one, other = (
            imported.recogniser(name).encode(signal[None], torch.tensor([len(signal)])).frames
            for name in ("aed", "ctc")
        )
    assert (one - other).abs().max() > 0.1


def test_labels_of_four_models_are_the_best_of_all_and_score_their_sum(imported: Imported) -> None:
    for number, n_best in zip(UTTERANCES, found_by(imported, "by_label"), strict=True):
        sums = Sums(imported, number)
        frames, exact = sums.frames(), {}
        for labels in every(int(0.2 * len(frames))):
            parts = {**sums.by_label(labels), "ctc_x": all_paths(frames, labels)}
            for row, total in enumerate(weighted(parts).tolist()):
                scores = {name: float(each[row]) for name, each in parts.items()}
                exact[tuple(labels[row].tolist())] = (total, scores)
        best = max(exact, key=lambda labels: exact[labels][0])
        assert tuple(n_best[0].labels) == best
        for hypothesis in n_best:
            total, scores = exact[tuple(hypothesis.labels)]
            assert hypothesis.score == pytest.approx(total, abs=1e-3)
            assert hypothesis.scores == pytest.approx(scores, abs=1e-3)


def test_frames_of_one_model_and_labels_of_three_score_the_best_path_and_their_sum(
    imported: Imported,
) -> None:
    for number, n_best in zip(UTTERANCES, found_by(imported, "by_frame"), strict=True):
        sums = Sums(imported, number)
        frames = sums.frames()
        for hypothesis in n_best:
            parts = sums.by_label(torch.tensor([hypothesis.labels], dtype=torch.long))
            parts["ctc_x"] = torch.tensor([best_path(frames, hypothesis.labels)])
            expected = {name: float(each[0]) for name, each in parts.items()}
            assert hypothesis.scores == pytest.approx(expected, abs=1e-3)
            assert hypothesis.score == pytest.approx(float(weighted(parts)[0]), abs=1e-3)
        for labels in every(1):
            parts = sums.by_label(labels)
            parts["ctc_x"] = torch.tensor([best_path(frames, row) for row in labels.tolist()])
            assert float(weighted(parts).max()) <= n_best[0].score + 1e-3


def test_every_model_counts(imported: Imported) -> None:
    for search in ("by_label", "by_frame"):
        for n_best in found_by(imported, search):
            assert {*n_best[0].scores} == {*WEIGHTS}
            assert all(abs(score) > 1e-3 for score in n_best[0].scores.values())
