"""Both searches and the scores they add up, against enumeration of everything there is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lattice.cells import frame_scores
from asrkit.lattice.topologies import CtcTopology
from asrkit.lattice.viterbi import Alignment, best_alignment
from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.interfaces import IMPOSSIBLE, Hypothesis, State, select
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch
from asrkit.search.label_sync import LabelSyncSearch

V, T = 2, 4  # labels and frames of the exhaustive cases


@dataclass
class Frames:
    log_probs: Tensor
    lengths: Tensor


class BigramScorer:
    """log p(next | last label), a table per utterance; row V is the start."""

    partial = False

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables  # (B, V + 1, V + 1)

    def initial_state(self) -> State:
        return {"last": torch.full((len(self.tables),), V)}

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        rows = torch.arange(len(self.tables)).repeat_interleave(
            len(state["last"]) // len(self.tables)
        )
        scores = self.tables[rows, state["last"]]
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        return {"last": labels}

    def subset(self, utterances: Tensor) -> BigramScorer:
        return BigramScorer(self.tables[utterances])


class Head:
    def __init__(self, frames: Frames, tables: Tensor | None = None) -> None:
        self.frames, self.tables = frames, tables

    def label_scorer(self, encoded: Any) -> Any:
        if self.tables is not None:
            return BigramScorer(self.tables)
        return CtcPrefixScorer(self.frames.log_probs, self.frames.lengths)

    def frame_scores(self, encoded: Any) -> Any:
        return self.frames


def random_case(seed: int, lengths: list[int]) -> tuple[Frames, Tensor]:
    torch.manual_seed(seed)
    frames = Frames((2 * torch.randn(len(lengths), T, V + 1)).log_softmax(2), torch.tensor(lengths))
    return frames, (1.5 * torch.randn(len(lengths), V + 1, V + 1)).log_softmax(2)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != V)


def string_probabilities(frames: Frames, utterance: int) -> dict[tuple[int, ...], float]:
    total: dict[tuple[int, ...], float] = {}
    length = int(frames.lengths[utterance])
    for path in itertools.product(range(V + 1), repeat=length):
        score = sum(float(frames.log_probs[utterance, t, s]) for t, s in enumerate(path))
        total[collapse(path)] = total.get(collapse(path), 0.0) + math.exp(score)
    return total


def bigram(table: Tensor, labels: tuple[int, ...]) -> float:
    steps = itertools.pairwise((V, *labels, V))
    return sum(float(table[a, b]) for a, b in steps)


@pytest.mark.parametrize("seed", range(6))
def test_ctc_prefix_scores_equal_enumeration(seed: int) -> None:
    frames, _ = random_case(seed, [4, 3])
    scorer = CtcPrefixScorer(frames.log_probs, frames.lengths)
    for prefix in [(), (0,), (1,), (0, 0), (0, 1), (1, 1)]:
        state, sums = scorer.initial_state(), [0.0, 0.0]
        for label in prefix:
            gains = scorer.score(state)[:, label]
            sums = [total + float(gain) for total, gain in zip(sums, gains, strict=True)]
            state = scorer.advance(state, torch.full((2,), label))
        for utterance in range(2):
            exact = string_probabilities(frames, utterance)
            whole = sum(p for s, p in exact.items() if s[: len(prefix)] == prefix)
            if whole < 1e-12:
                continue
            assert sums[utterance] == pytest.approx(math.log(whole), abs=1e-5)
            for label in range(V):
                longer = (*prefix, label)
                expected = sum(p for s, p in exact.items() if s[: len(longer)] == longer)
                if expected > 1e-12:
                    gain = float(scorer.score(state)[utterance, label])
                    assert gain == pytest.approx(math.log(expected / whole), abs=1e-5)
            if exact.get(prefix, 0.0) > 1e-12:
                gain = float(scorer.score(state)[utterance, V])
                assert gain == pytest.approx(math.log(exact[prefix] / whole), abs=1e-5)


def test_candidate_scores_equal_full_scores() -> None:
    frames, _ = random_case(1, [4, 2])
    scorer = CtcPrefixScorer(frames.log_probs, frames.lengths)
    state = select(scorer.initial_state(), torch.tensor([0, 0, 1, 1]))  # two hypotheses each
    state = scorer.advance(state, torch.tensor([0, 1, 1, 0]))
    candidates = torch.tensor([[1, 2], [0, 2], [1, 0], [2, 1]])
    full = scorer.score(state).gather(1, candidates)
    torch.testing.assert_close(scorer.score(state, candidates), full, rtol=0, atol=1e-5)


WEIGHTS = [
    {"ctc": 1.0},
    {"attention": 1.0},
    {"attention": 0.6, "ctc": 0.4},
    {"attention": 1.0, "ctc": 0.0},
]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("seed", range(8))
def test_label_sync_with_a_wide_beam_finds_the_best_of_all_strings(
    seed: int, weights: dict[str, float]
) -> None:
    frames, tables = random_case(seed, [4, 3, 2])
    heads = {"ctc": Head(frames), "attention": Head(frames, tables)}
    search = LabelSyncSearch(weights, beam_size=40, pre_beam=V)
    found = search.over(heads).run(frames)
    for utterance, n_best in enumerate(found):
        exact = string_probabilities(frames, utterance)
        length = int(frames.lengths[utterance])
        scores = {}
        for count in range(length + 1):
            for labels in itertools.product(range(V), repeat=count):
                ctc = math.log(exact[labels]) if exact.get(labels) else -1e30
                parts = {"ctc": ctc, "attention": bigram(tables[utterance], labels)}
                scores[labels] = sum(w * parts[name] for name, w in weights.items() if w)
        best = max(scores, key=lambda labels: scores[labels])
        assert n_best[0].score == pytest.approx(scores[best], abs=1e-4)
        assert tuple(n_best[0].labels) == best
        for hypothesis in n_best:
            expected = scores[tuple(hypothesis.labels)]
            assert hypothesis.score == pytest.approx(expected, abs=1e-4)
            total = sum(w * hypothesis.scores[name] for name, w in weights.items() if w)
            assert hypothesis.score == pytest.approx(total, abs=1e-4)


def as_pairs(n_best: list[Hypothesis]) -> list[tuple[tuple[int, ...], float]]:
    return [(tuple(h.labels), round(h.score, 4)) for h in n_best]


def only(frames: Frames, utterance: int) -> Frames:
    length = int(frames.lengths[utterance])
    log_probs = frames.log_probs[utterance : utterance + 1, :length]
    return Frames(log_probs, frames.lengths[utterance : utterance + 1])


@pytest.mark.parametrize("options", [{}, {"length_norm": 1.0}, {"length_reward": 0.5}])
def test_a_batch_finds_what_single_utterances_find(options: dict[str, float]) -> None:
    frames, tables = random_case(3, [4, 1, 3, 2])
    search = LabelSyncSearch({"attention": 0.5, "ctc": 0.5}, beam_size=3, **options)  # type: ignore[arg-type]
    heads = {"ctc": Head(frames), "attention": Head(frames, tables)}
    together = search.over(heads).run(frames)
    for utterance in range(4):
        alone = only(frames, utterance)
        table = tables[utterance : utterance + 1]
        single: Mapping[str, Any] = {"ctc": Head(alone), "attention": Head(alone, table)}
        assert as_pairs(search.over(single).run(alone)[0]) == as_pairs(together[utterance])


def test_unknown_heads_are_named() -> None:
    frames, _ = random_case(0, [4])
    with pytest.raises(UserError, match="needs a head 'lm'; there are ctc"):
        LabelSyncSearch({"lm": 1.0}, beam_size=2).over({"ctc": Head(frames)}).run(frames)


@pytest.mark.parametrize("seed", range(8))
def test_prefix_beam_with_a_wide_beam_equals_enumeration(seed: int) -> None:
    frames, _ = random_case(seed, [4, 3, 1])
    found = CtcPrefixBeamSearch(beam_size=40).over({"ctc": Head(frames)}).run(frames)
    for utterance, n_best in enumerate(found):
        exact = string_probabilities(frames, utterance)
        ranked = sorted(exact.items(), key=lambda item: -item[1])[:5]
        for hypothesis, (labels, probability) in zip(n_best, ranked, strict=False):
            assert tuple(hypothesis.labels) == labels
            assert hypothesis.score == pytest.approx(math.log(probability), abs=1e-4)


def test_prefix_beam_of_a_batch_finds_what_single_utterances_find() -> None:
    frames, _ = random_case(5, [4, 2])
    search = CtcPrefixBeamSearch(beam_size=2)
    together = search.over({"ctc": Head(frames)}).run(frames)
    for utterance in range(2):
        alone = only(frames, utterance)
        single = search.over({"ctc": Head(alone)}).run(alone)[0]
        assert as_pairs(single) == as_pairs(together[utterance])


def test_greedy_collapses_repeats_and_blanks() -> None:
    path = torch.tensor([[0, 0, V, 0], [1, V, 1, 1]])
    log_probs = torch.nn.functional.one_hot(path, V + 1).float().mul(9).log_softmax(2)
    frames = Frames(log_probs, torch.tensor([4, 2]))
    found = CtcGreedySearch().over({"ctc": Head(frames)}).run(frames)
    assert [n_best[0].labels for n_best in found] == [[0, 0], [1]]


@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 0], [1, 1]])
@pytest.mark.parametrize("seed", range(3))
def test_best_path_equals_enumeration(seed: int, labels: list[int]) -> None:
    frames, _ = random_case(seed, [4, 3])
    batch = torch.tensor([labels, labels])
    found = ctc_alignment(frames, batch)
    for utterance in range(2):
        length = int(frames.lengths[utterance])
        fitting = [
            (sum(float(frames.log_probs[utterance, t, s]) for t, s in enumerate(path)), path)
            for path in itertools.product(range(V + 1), repeat=length)
            if collapse(path) == tuple(labels)
        ]
        expected, path = max(fitting)
        assert float(found.log_probs[utterance]) == pytest.approx(expected, abs=1e-5)
        assert tuple(found.symbols[utterance, :length].tolist()) == path
        assert int(found.label_frames[utterance].min()) >= 0


def test_best_path_says_where_labels_do_not_fit() -> None:
    frames, _ = random_case(0, [2])
    found = ctc_alignment(frames, torch.tensor([[0, 0]]))
    assert float(found.log_probs[0]) < IMPOSSIBLE / 2


def ctc_alignment(frames: Frames, labels: Tensor) -> Alignment:
    sizes, how = torch.full((len(labels),), labels.shape[1]), (CtcTopology(), V)
    scores = frame_scores(frames.log_probs, labels, sizes, *how)
    return best_alignment(scores, labels, frames.lengths, sizes, *how)
