"""CTC prefix scores of long utterances, against the recursion written as a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from asrkit.scorers.ctc_prefix import CtcPrefixScorer, accumulate
from asrkit.scorers.interfaces import IMPOSSIBLE, select

V = 4


def log_add(*terms: float) -> float:
    highest = max(terms)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(term - highest) for term in terms))


def by_loop(log_probs: Tensor, labels: list[int]) -> tuple[float, float]:
    """Returns psi of the labels as a prefix, and their log-probability as the whole string."""
    frames = log_probs.double().tolist()
    none = -math.inf
    ends_n, ends_b = [none] * (len(frames) + 1), [0.0]
    for frame in frames:
        ends_b.append(ends_b[-1] + frame[V])
    psi, last = 0.0, -1
    for label in labels:
        new_n, new_b, firsts = [none], [none], []
        for t, frame in enumerate(frames):
            inflow = ends_b[t] if label == last else log_add(ends_n[t], ends_b[t])
            firsts.append(inflow + frame[label])
            new_b.append(log_add(new_n[t], new_b[t]) + frame[V])
            new_n.append(log_add(new_n[t], inflow) + frame[label])
        psi, last, ends_n, ends_b = log_add(*firsts), label, new_n, new_b
    return psi, log_add(ends_n[-1], ends_b[-1])


@pytest.mark.parametrize("sharpness", [0.3, 5.0, 40.0])
@pytest.mark.parametrize("labels", [[0], [1, 1], [0, 0, 0, 2, 1, 1, 3], [3, 2] * 12])
def test_long_utterances_equal_the_loop(sharpness: float, labels: list[int]) -> None:
    torch.manual_seed(len(labels))
    lengths = torch.tensor([150, 61, 24])
    log_probs = (sharpness * torch.randn(3, 150, V + 1)).double().log_softmax(2)
    scorer = CtcPrefixScorer(log_probs, lengths)
    state, sums = scorer.initial_state(), torch.zeros(3, dtype=torch.float64)
    for label in labels:
        sums += scorer.score(state)[:, label]
        state = scorer.advance(state, torch.full((3,), label))
    for utterance, length in enumerate(lengths.tolist()):
        prefix, whole = by_loop(log_probs[utterance, :length], labels)
        if prefix == -math.inf:  # more labels and blanks between than frames
            assert float(sums[utterance]) <= IMPOSSIBLE / 2
            continue
        assert float(sums[utterance]) == pytest.approx(prefix, rel=1e-5, abs=1e-4)
        total = sums[utterance] + scorer.score(state)[utterance, V]
        assert float(total) == pytest.approx(whole, rel=1e-5, abs=1e-4)


def test_accumulate_solves_the_recursion() -> None:
    torch.manual_seed(0)
    inflow = (30 * torch.randn(4, 300)).double()
    symbol = -(20 * torch.rand(4, 300)).double()
    expected, value = [], torch.full((4,), -math.inf, dtype=torch.float64)
    for t in range(300):
        value = torch.logaddexp(value, inflow[:, t]) + symbol[:, t]
        expected.append(value)
    torch.testing.assert_close(accumulate(inflow, symbol), torch.stack(expected, 1))


def test_labels_that_a_head_rules_out_are_impossible() -> None:
    log_probs = torch.zeros(1, 5, V + 1)
    log_probs[:, :, 1] = -math.inf
    scorer = CtcPrefixScorer(log_probs.log_softmax(2), torch.tensor([5]))
    scores = scorer.score(scorer.initial_state())
    assert float(scores[0, 1]) <= IMPOSSIBLE / 2
    assert torch.isfinite(scores).all()
    dead = scorer.advance(scorer.initial_state(), torch.tensor([1]))
    assert (scorer.score(dead) <= IMPOSSIBLE / 2).all()


def test_a_subset_scores_as_the_whole() -> None:
    torch.manual_seed(0)
    scorer = CtcPrefixScorer(torch.randn(3, 9, V + 1).log_softmax(2), torch.tensor([9, 5, 7]))
    two_each = torch.arange(3).repeat_interleave(2)
    state = select(scorer.initial_state(), two_each)
    state = scorer.advance(state, torch.tensor([0, 1, 2, 3, 0, 1]))
    part = scorer.subset(torch.tensor([2, 0]))
    rows = torch.tensor([4, 5, 0, 1])
    labels = torch.tensor([0, 2, 0, 3])
    after = part.score(part.advance(select(state, rows), labels))
    full = scorer.score(scorer.advance(state, torch.tensor([0, 3, 0, 0, 0, 2])))
    torch.testing.assert_close(after, full[rows], rtol=0, atol=1e-6)
