"""Prefix beam search with narrow beams, against dictionaries of strings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch

V = 4
Strings = dict[tuple[int, ...], list[float]]


@dataclass
class Frames:
    log_probs: Tensor
    lengths: Tensor

    def frame_scores(self, encoded: Any) -> Frames:
        return self


def by_dictionary(log_probs: Tensor, beam_size: int) -> list[tuple[tuple[int, ...], float]]:
    """Returns the strings of the beam and their log-probabilities, best first."""
    beam: Strings = {(): [1.0, 0.0]}  # probabilities of ending in blank, in a label
    for frame in log_probs.double().exp().tolist():
        grown: Strings = {}
        for string, (blank, label) in beam.items():
            grown.setdefault(string, [0.0, 0.0])[0] += (blank + label) * frame[V]
            for symbol in range(V):
                repeats = bool(string) and string[-1] == symbol
                if repeats:
                    grown.setdefault(string, [0.0, 0.0])[1] += label * frame[symbol]
                source = blank if repeats else blank + label
                longer = grown.setdefault((*string, symbol), [0.0, 0.0])
                longer[1] += source * frame[symbol]
        ranked = sorted(grown.items(), key=lambda item: -sum(item[1]))
        beam = dict(ranked[:beam_size])
    return [(string, math.log(sum(parts))) for string, parts in beam.items() if sum(parts) > 0]


@pytest.mark.parametrize("beam_size", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_narrow_beams_keep_what_dictionaries_keep(seed: int, beam_size: int) -> None:
    torch.manual_seed(seed)
    lengths = torch.tensor([25, 14])
    frames = Frames((1.5 * torch.randn(2, 25, V + 1)).log_softmax(2), lengths)
    for symbols in (None, V):
        search = CtcPrefixBeamSearch(beam_size, symbols=symbols)
        found = search.over({"ctc": frames}).run(frames)
        for utterance, length in enumerate(lengths.tolist()):
            expected = by_dictionary(frames.log_probs[utterance, :length], beam_size)
            assert [tuple(h.labels) for h in found[utterance]] == [s for s, _ in expected]
            scores = [h.score for h in found[utterance]]
            assert scores == pytest.approx([score for _, score in expected], abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_no_string_is_twice_in_a_list(seed: int) -> None:
    torch.manual_seed(seed)
    frames = Frames((0.5 * torch.randn(2, 40, V + 1)).log_softmax(2), torch.tensor([40, 11]))
    for found in CtcPrefixBeamSearch(8).over({"ctc": frames}).run(frames):
        strings = [tuple(hypothesis.labels) for hypothesis in found]
        assert len(set(strings)) == len(strings) == 8


def test_few_symbols_per_frame_find_a_clear_utterance() -> None:
    path = torch.tensor([[0, 0, V, 0, 3, 3, V, 1]])
    log_probs = (6.0 * torch.nn.functional.one_hot(path, V + 1)).log_softmax(2)
    frames = Frames(log_probs, torch.tensor([8]))
    best = CtcPrefixBeamSearch(3, symbols=1).over({"ctc": frames}).run(frames)[0][0]
    assert best.labels == [0, 0, 3, 1]


def test_an_empty_beam_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beam_size \(0\) must be at least 1"):
        CtcPrefixBeamSearch(0)
