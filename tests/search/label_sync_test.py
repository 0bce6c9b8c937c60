"""When label-synchronous search ends, and that its n-best lists are the best there are."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.scorers.ctc import CtcScorer
from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import State
from asrkit.scorers.language_model import LanguageModelScorer
from asrkit.scorers.length_reward import LengthScorer, length_reward
from asrkit.search.label_sync import LabelSyncSearch

V, T = 2, 5


class Encoded:
    lengths = torch.tensor([5, 3, 1])


class TableScorer:
    """log p(next | last label), a table per utterance; row V is the start."""

    partial = False

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables  # (B, V + 1, V + 1)
        self.calls = 0

    def initial_state(self) -> State:
        return torch.full((len(self.tables),), V)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        self.calls += 1
        rows = torch.arange(len(state)) // (len(state) // len(self.tables))
        scores = self.tables[rows, state]
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        return labels

    def subset(self, utterances: Tensor) -> TableScorer:
        return TableScorer(self.tables[utterances])


class Head:
    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def label_scorer(self, encoded: Any) -> Any:
        return self.scorer


def tables(seed: int, scale: float = 1.5) -> Tensor:
    torch.manual_seed(seed)
    return (scale * torch.randn(3, V + 1, V + 1)).log_softmax(2)


def total(table: Tensor, labels: tuple[int, ...]) -> float:
    return sum(float(table[a, b]) for a, b in itertools.pairwise((V, *labels, V)))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"length_norm": 1.0},
    {"length_norm": 0.5, "length_reward": 0.4},
    {"length_reward": 1.2},
    {"length_reward": -0.5},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(5))
def test_n_best_lists_are_the_best_of_all_strings(seed: int, options: dict[str, Any]) -> None:
    first, second = tables(seed), tables(seed + 100)
    heads = {"a": Head(TableScorer(first)), "b": Head(TableScorer(second))}
    weights = {"a": 0.7, "b": 0.5}
    search = LabelSyncSearch(weights, 100, patience=999, nbest=4, **options)
    for utterance, n_best in enumerate(search.over(heads).run(Encoded())):
        expected = {}
        for count in range(int(Encoded.lengths[utterance]) + 1):
            for labels in itertools.product(range(V), repeat=count):
                score = 0.7 * total(first[utterance], labels)
                score += 0.5 * total(second[utterance], labels)
                score += options.get("length_reward", 0.0) * count
                score /= (count + 1) ** options.get("length_norm", 0.0)
                expected[labels] = score
        # Strings with the same pairs of labels tie, so that their order is open.
        best = sorted(expected.values(), reverse=True)[:4]
        assert [h.score for h in n_best] == pytest.approx(best, abs=1e-5)
        found = [tuple(h.labels) for h in n_best]
        assert [expected[labels] for labels in found] == pytest.approx(best, abs=1e-5)
        assert len(set(found)) == len(found)


def test_a_negative_weight_does_not_make_the_impossible_likely() -> None:
    table = tables(0)
    log_probs = torch.zeros(3, T, V + 1).log_softmax(2)
    heads = {
        "a": Head(TableScorer(table)),
        "ctc": Head(CtcPrefixScorer(log_probs, Encoded.lengths)),
    }
    search = LabelSyncSearch({"a": 1.0, "ctc": -0.3}, 100, max_length_ratio=3.0, pre_beam=V)
    for utterance, n_best in enumerate(search.over(heads).run(Encoded())):
        for hypothesis in n_best:
            assert abs(hypothesis.score) < 1e3
            assert len(hypothesis.labels) <= int(Encoded.lengths[utterance])


def test_a_language_model_alone_does_not_choose_what_ctc_looks_at() -> None:
    said, size = 5, 6
    frames = torch.full((1, 2, size + 1), 0.01)
    frames[:, :, said] = 0.94
    likely = torch.full((1, size + 1, size + 1), -9.0)
    likely[:, :, :2] = -0.7
    encoded = Encoded()
    encoded.lengths = torch.tensor([2])
    scorers: dict[str, float | Scorer] = {
        "ctc": 1.0,
        "lm": LanguageModelScorer(0.1, run=Path("lm")),
    }
    found = {}
    for pre_beam in (None, 2):
        heads = {
            "ctc": Head(CtcPrefixScorer(frames.log(), encoded.lengths)),
            "lm": Head(TableScorer(likely)),
        }
        search = LabelSyncSearch(scorers, 1, pre_beam=pre_beam)
        found[pre_beam] = search.over(heads).run(encoded)[0][0].labels
    assert found[None] == [said]
    assert said not in found[2], "what two candidates of the language model leave out"


def test_a_clear_utterance_ends_soon() -> None:
    sure = torch.tensor([[-9.0, -9.0, -1e-3], [-9.0, -9.0, -1e-3], [-1e-3, -9.0, -9.0]])
    for options in ({}, {"length_norm": 1.0, "patience": 3}):
        scorer = TableScorer(sure[None])
        encoded = Encoded()
        encoded.lengths = torch.tensor([500])
        search = LabelSyncSearch({"a": 1.0}, 4, **options)  # type: ignore[arg-type]
        assert search.over({"a": Head(scorer)}).run(encoded)[0][0].labels == [0]
        assert scorer.calls < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scorers": {"a": 0.0}}, "at least one weight must not be 0"),
        ({"beam_size": 0}, r"beam_size \(0\) must be at least 1"),
        ({"nbest": 0}, r"nbest \(0\) must be at least 1"),
        ({"pre_beam": -1}, r"pre_beam \(-1\) must be at least 1"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSyncSearch(**{"scorers": {"a": 1.0}, "beam_size": 2, **options})


def test_rewards_that_are_still_to_come_keep_an_utterance_open() -> None:
    table = torch.tensor([[-0.7, -9.0, -0.7], [-9.0, -9.0, -1e-3], [-4.0, -9.0, -0.02]])
    encoded = Encoded()
    encoded.lengths = torch.tensor([6])
    heads = {
        "a": Head(TableScorer(table[None])),
        "length": length_reward(V),
    }
    search = LabelSyncSearch({"a": 1.0, "length": LengthScorer(2.0)}, 4)
    best = search.over(heads).run(encoded)[0][0]
    assert best.labels == [0] * 6
    assert best.score == pytest.approx(-4.0 - 6 * 0.7 + 6 * 2.0, abs=1e-4)


class Sentence:
    """Nearly sure of `length` times label 0 and then eos; its state counts labels."""

    partial = False

    def __init__(self, length: int) -> None:
        self.length = length

    def initial_state(self) -> State:
        return torch.zeros(1, dtype=torch.int64)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        scores = torch.full((len(state), V + 1), 0.03)
        scores[torch.arange(len(state)), torch.where(state < self.length, 0, V)] = 0.94
        return scores.log()

    def advance(self, state: State, labels: Tensor) -> State:
        return state + 1

    def subset(self, utterances: Tensor) -> Sentence:
        return self


@pytest.mark.parametrize("reward", [{"length_reward": 0.1}, {"ilm": -0.2}])
def test_an_early_end_does_not_stop_a_search_whose_live_hypotheses_are_better(
    reward: dict[str, float],
) -> None:
    encoded = Encoded()
    encoded.lengths = torch.tensor([60])
    weights = {"a": 1.0, **{name: x for name, x in reward.items() if name == "ilm"}}
    heads = {
        "a": Head(Sentence(30)),
        "ilm": Head(TableScorer(torch.zeros(1, V + 1, V + 1).log_softmax(2))),
    }
    for beam_size in (2, 4, 12):
        options = {name: x for name, x in reward.items() if name != "ilm"}
        best = LabelSyncSearch(weights, beam_size, **options).over(heads).run(encoded)[0][0]  # type: ignore[arg-type]
        assert best.labels == [0] * 30


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="weights must be finite numbers, got a: nan, c: inf"):
        LabelSyncSearch({"a": float("nan"), "b": 1.0, "c": float("inf")}, 2)
    with pytest.raises(ValueError, match="max_length_ratio .* must be positive"):
        LabelSyncSearch({"a": 1.0}, 2, max_length_ratio=0.0)
    with pytest.raises(ValueError, match="prior .* needs a prior_scale"):
        CtcScorer(1.0, prior=Path("prior/ctc.json"))
    assert CtcScorer(1.0, blank_penalty=-0.5).rewards
    assert not CtcScorer(1.0, blank_penalty=0.5).rewards
