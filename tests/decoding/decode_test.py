"""Decoding of a set: what is written, and that an interrupted decode goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.decoding.decode import DecodeBatch, decode, distinct
from asrkit.errors import UserError
from asrkit.run_files import Summary
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, LabelScorer
from asrkit.scorers.sources import Source
from asrkit.search.parts import SearchParts
from asrkit.search.search import LoadedSearch, Search
from asrkit.text.tokenizers import Tokenizer

TEXTS = ["grüße\u2028neu", "b", "c", "d", "e"]  # \u2028 counts as a line end for splitlines


class Encoded:
    def __init__(self, lengths: Tensor) -> None:
        self.lengths = lengths


class Model:
    def __init__(self) -> None:
        self.encoded = 0
        self.training = True

    def eval(self) -> None:
        self.training = False

    def encode(self, signal: Tensor, lengths: Tensor) -> Encoded:
        assert not self.training
        self.encoded += len(lengths)
        return Encoded(signal[:, 0])


class FakeSearch(Search):
    def __init__(self) -> None:
        super().__init__({"fake": 1.0})

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        with parts.timed("fake"):
            return [
                # The second spells the words of the first by other labels.
                [
                    Hypothesis([(i + step) % 5, 7 + rank], -1.0 - rank, {"fake": -1.0 - rank})
                    for rank, step in enumerate((0, 0, 1, 2))
                ]
                for i in encoded.lengths.tolist()
            ]


def never(encoded: object) -> LabelScorer:
    raise AssertionError("this search asks nobody")


def loaded() -> LoadedSearch:
    return FakeSearch().over({"fake": Source("a fake", labels=never)})


class FakeTokenizer(Tokenizer):
    def encode(self, text: str) -> list[int]:
        return [TEXTS.index(text)]

    def decode(self, ids: list[int]) -> str:
        return TEXTS[ids[0]]

    def unknown_in(self, text: str) -> list[str]:
        return []


class StoppedError(Exception):
    """As when the machine goes down."""


def batches(stop_after: int | None = None) -> Iterator[DecodeBatch]:
    for number, ids in enumerate([[0, 1], [2, 3], [4]]):
        if number == stop_after:
            raise StoppedError
        labels = torch.zeros(len(ids), 1, dtype=torch.int64)
        lengths = torch.ones(len(ids), dtype=torch.int64)
        names = [f"u{i}" for i in ids]
        batch = Batch(names, torch.tensor([[i] for i in ids]), lengths, labels, lengths)
        yield batch, [UtteranceInfo(f"u{i}", "s", TEXTS[i], 2.0) for i in ids]


def run(out: Path, model: Model, stop_after: int | None = None, key: str = "k") -> Summary:
    tokenizer, device = FakeTokenizer(), torch.device("cpu")
    source = batches(stop_after)
    return decode(model, source, tokenizer, loaded(), out, device, 5, key, max_hypotheses=2)


def interrupted(out: Path) -> Path:
    with pytest.raises(StoppedError):
        run(out, Model(), stop_after=2)
    assert not (out / "nbest.jsonl").exists()
    return out / "nbest.partial.jsonl"


def test_lines_and_summary(tmp_path: Path) -> None:
    summary = run(tmp_path, Model())
    lines = (tmp_path / "nbest.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    entries = [json.loads(line) for line in lines]
    assert [(e["id"], e["text"], e["reference"]) for e in entries] == [
        (f"u{i}", text, text) for i, text in enumerate(TEXTS)
    ]
    assert [h["scores"] for h in entries[1]["hypotheses"]] == [{"fake": -1.0}, {"fake": -3.0}]
    assert asdict(summary) == json.loads((tmp_path / "summary.json").read_text())
    assert (summary.utterances, summary.audio_seconds) == (5, 10.0)
    assert summary.hypotheses_per_utterance == 2.0
    assert set(summary.scorer_seconds) == {"fake"}
    assert {path.name for path in tmp_path.iterdir()} == {"nbest.jsonl", "summary.json"}


def test_lists_hold_distinct_words_and_the_first_stays(tmp_path: Path) -> None:
    run(tmp_path, Model())
    for line in map(json.loads, (tmp_path / "nbest.jsonl").read_text().split("\n")[:-1]):
        texts = [hypothesis["text"] for hypothesis in line["hypotheses"]]
        assert len(set(texts)) == len(texts) == 2
        assert line["text"] == texts[0]
        assert line["hypotheses"][0]["score"] == -1.0
        assert line["hypotheses"][0]["labels"][1] == 7, "labels of the best spelling"
    same = [Hypothesis([0, 7], -1.0), Hypothesis([0, 8], -0.5)]
    assert [h.score for _, h in distinct(same, FakeTokenizer())] == [-1.0]
    assert distinct([], FakeTokenizer()) == []


def test_utterances_without_a_hypothesis_are_counted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, Model())
    assert not caplog.text
    found = FakeSearch.run
    monkeypatch.setattr(
        FakeSearch, "run", lambda *of: [one if one[0].labels[0] else [] for one in found(*of)]
    )
    run(tmp_path, Model(), key="other")
    assert "1 of 5 utterances have no hypothesis, such as u0: no path was left" in caplog.text


def test_lines_say_that_nothing_is_known_of_what_was_spoken(tmp_path: Path) -> None:
    def untold() -> Iterator[DecodeBatch]:
        for batch, infos in batches():
            yield batch, [replace(info, reference="", transcribed=False) for info in infos]

    decode(Model(), untold(), FakeTokenizer(), loaded(), tmp_path, torch.device("cpu"), 5)
    lines = (tmp_path / "nbest.jsonl").read_text().split("\n")[:-1]
    assert [json.loads(line)["transcribed"] for line in lines] == [False] * 5
    run(tmp_path, Model())
    assert "transcribed" not in (tmp_path / "nbest.jsonl").read_text()


def test_an_interrupted_decode_goes_on(tmp_path: Path) -> None:
    interrupted(tmp_path / "a")
    model = Model()
    summary = run(tmp_path / "a", model)
    assert model.encoded == 1  # the last batch alone
    assert (summary.utterances, summary.audio_seconds) == (5, 10.0)
    run(tmp_path / "b", Model())
    whole = (tmp_path / "b" / "nbest.jsonl").read_bytes()
    assert (tmp_path / "a" / "nbest.jsonl").read_bytes() == whole


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_a_file_that_was_cut_anywhere_gives_the_same_result(tmp_path: Path, cut: int) -> None:
    partial = interrupted(tmp_path / "a")
    partial.write_bytes(partial.read_bytes()[:-cut])
    run(tmp_path / "a", Model())
    run(tmp_path / "b", Model())
    whole = (tmp_path / "b" / "nbest.jsonl").read_bytes()
    assert (tmp_path / "a" / "nbest.jsonl").read_bytes() == whole


def test_results_of_another_model_are_not_reused(tmp_path: Path) -> None:
    interrupted(tmp_path)
    model = Model()
    run(tmp_path, model, key="another")
    assert model.encoded == 5


def test_damaged_lines_are_decoded_again(tmp_path: Path) -> None:
    partial = interrupted(tmp_path)
    lines = partial.read_bytes().split(b"\n")
    lines[2] = b"\0" * 20
    partial.write_bytes(b"\n".join(lines))
    model = Model()
    assert run(tmp_path, model).utterances == 5
    assert model.encoded == 5


def test_a_full_disk_keeps_what_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path)

    def full(self: Path, *args: object, **options: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"No space left on device; 4 decoded utterances are kept"):
        run(tmp_path, Model())
    monkeypatch.undo()
    model = Model()
    assert run(tmp_path, model).utterances == 5
    assert model.encoded == 1
