"""What scores labels and what scores frames is told apart when a search is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asrkit.errors import UserError
from asrkit.models.interfaces import Head
from asrkit.scorers.coverage import CoverageScorer
from asrkit.scorers.ctc import CtcScorer
from asrkit.scorers.entries import Scorer
from asrkit.scorers.head import HeadScorer
from asrkit.scorers.internal_lm import InternalLmScorer
from asrkit.scorers.language_model import LanguageModelScorer
from asrkit.scorers.length_reward import LengthScorer
from asrkit.scorers.loader import FoundHead, NgramUnits
from asrkit.scorers.ngram import NgramScorer
from asrkit.scorers.sources import Source
from asrkit.scorers.stand_ins import NO_GRAPH, AnyLanguageModel
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.transducer import TransducerSearch
from asrkit.search.two_pass import TwoPassSearch
from tests.scorers.coverage_test import VOCABULARY, OneModel
from tests.search.stream_test import transducer


class Parts(OneModel):
    """A loader of an attention, a CTC and a transducer head, and of language models."""

    def __init__(self) -> None:
        super().__init__("lstm")
        self.heads["transducer"] = transducer()

    def head(self, name: str, run: Path | None, checkpoint: str) -> FoundHead:
        head = self.heads[name]
        return FoundHead(head, f"{run or 'mine'}'s {type(head).__name__}")

    def language_model(self, run: Path, checkpoint: str) -> Any:
        return AnyLanguageModel()

    def ngram(self, path: Path, units: NgramUnits = "labels") -> Any:
        return AnyLanguageModel()

    def graph(self, path: Path) -> Any:
        return NO_GRAPH


ENTRIES: dict[str, tuple[Scorer, str]] = {
    "own": (HeadScorer(1.0, head="attention"), "mine's AttentionHead"),
    "other": (HeadScorer(1.0, head="attention", run=Path("run/b")), "run/b's AttentionHead"),
    "changed": (CtcScorer(1.0, head="attention"), "mine's AttentionHead"),
    "lm": (LanguageModelScorer(1.0, run=Path("run/lm")), "the language model run/lm"),
    "ngram": (NgramScorer(1.0, arpa=Path("lm/3.arpa")), "the n-gram model lm/3.arpa"),
    "length": (LengthScorer(1.0), "a length reward"),
    "ilm": (InternalLmScorer(1.0), "the internal language model of mine's AttentionHead"),
    "coverage": (CoverageScorer(1.0), "the coverage of mine's AttentionHead"),
}


def refusal(search: Any) -> str:
    with pytest.raises(UserError) as error:
        search.load(Parts())
    return str(error.value)


@pytest.mark.parametrize("name", list(ENTRIES))
def test_what_scores_labels_is_refused_where_frames_are_wanted(name: str) -> None:
    entry, what = ENTRIES[name]
    expected = f"{what} scores labels, not frames; expected a CTC head"
    greedy = refusal(CtcGreedySearch({name: entry}))
    assert greedy == f"scorer {name!r} of a ctc_greedy search: {expected}"
    by_frame = refusal(TimeSyncSearch({name: entry}, 3, frames=name))
    assert by_frame == f"scorer {name!r} of a time_sync search: {expected}"
    inside = TwoPassSearch(CtcGreedySearch({name: entry}), {"attention": 1.0})
    assert refusal(inside) == greedy


def test_transducers_and_ctc_are_told_apart() -> None:
    assert refusal(TransducerSearch(2, {"ctc": 1.0}, "ctc")) == (
        "scorer 'ctc' of a transducer search: mine's CtcHead scores labels and frames, not frames "
        "after labels; expected a transducer head"
    )
    assert refusal(LabelSyncSearch({"transducer": 1.0}, 2)).startswith(
        "scorer 'transducer' of a label_sync search: mine's TransducerHead scores frames after "
        "labels, not labels; expected an attention or CTC head"
    )


def test_heads_without_what_an_entry_needs_are_refused_alike() -> None:
    for entry, lack in (
        (CoverageScorer(1.0, head="ctc"), "has no attention to frames; expected an attention head"),
        (InternalLmScorer(-0.1, head="ctc"), "reads no labels, and has no internal language model"),
        (CtcScorer(1.0, head="ctc", mask_eos=False), "has frames without eos, and mask_eos is"),
    ):
        said = refusal(LabelSyncSearch({"attention": 1.0, "other": entry}, 2))
        assert said.startswith(f"scorer 'other' of a label_sync search: mine's CtcHead {lack}")


def test_a_head_that_only_trains_scores_nothing() -> None:
    only: Any = type("Loss", (Head,), {"loss": lambda self, encoded, batch: {}})()
    assert not any([Source.of(only).labels, Source.of(only).frames, Source.of(only).symbols])
    with pytest.raises(UserError, match="the Loss scores nothing, not frames"):
        CtcGreedySearch().over({"ctc": only})


def test_scorers_that_fit_load() -> None:
    scorers = {name: entry for name, (entry, _) in ENTRIES.items() if name != "changed"}
    loaded = TimeSyncSearch({"ctc": 1.0, **scorers}, 3).load(Parts())  # type: ignore[arg-type]
    assert loaded.parts.sources.keys() == {"ctc", *scorers}
    assert len(VOCABULARY) == 2
