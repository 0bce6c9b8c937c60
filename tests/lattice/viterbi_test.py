"""Best alignments of long utterances, against torchaudio's."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from torch import Tensor

from asrkit.lattice.cells import frame_scores
from asrkit.lattice.topologies import CtcTopology
from asrkit.lattice.viterbi import Alignment, best_alignment

V = 6


@pytest.mark.parametrize("seed", range(4))
def test_paths_equal_those_of_torchaudio(seed: int) -> None:
    torch.manual_seed(seed)
    lengths, label_lengths = torch.tensor([60, 41, 20]), torch.tensor([14, 9, 0])
    log_probs = (2 * torch.randn(3, 60, V + 1)).log_softmax(2)
    labels = torch.randint(0, V, (3, 14))
    labels[0, 3:5] = 2  # a label twice in a row
    found = ctc_alignment(log_probs, lengths, labels, label_lengths)
    paths, totals = found.symbols, found.log_probs
    for u, (length, count) in enumerate(zip(lengths.tolist(), label_lengths.tolist(), strict=True)):
        assert (paths[u, length:] == -1).all()
        if not count:
            assert (paths[u, :length] == V).all()
            blanks = log_probs[u, :length, V].sum()
            assert float(totals[u]) == pytest.approx(float(blanks), abs=1e-3)
            continue
        path, scores = torchaudio.functional.forced_align(
            log_probs[u : u + 1, :length], labels[u : u + 1, :count], blank=V
        )
        torch.testing.assert_close(paths[u, :length], path[0].long())
        assert float(totals[u]) == pytest.approx(float(scores.sum()), abs=1e-3)


def test_labels_begin_and_end_where_their_symbols_do() -> None:
    symbols = [V, 0, 0, V, 1, 1, V, 1, 2, 2, 2, V]
    log_probs = torch.nn.functional.one_hot(torch.tensor([symbols]), V + 1).float().log_softmax(2)
    found = ctc_alignment(
        log_probs, torch.tensor([12]), torch.tensor([[0, 1, 1, 2, 5]]), torch.tensor([4])
    )
    assert found.symbols[0].tolist() == symbols
    assert found.label_frames[0].tolist() == [1, 4, 7, 8, -1]
    assert found.label_ends[0].tolist() == [3, 6, 8, 11, -1]


def test_of_equally_probable_alignments_labels_stand_early_and_the_last_one_long() -> None:
    log_probs = torch.full((1, 5, V + 1), 1.0 / (V + 1)).log()
    found = ctc_alignment(log_probs, torch.tensor([5]), torch.tensor([[0, 1]]), torch.tensor([2]))
    assert found.symbols[0].tolist() == [0, 1, 1, 1, 1]


def test_labels_that_do_not_fit_have_no_alignment() -> None:
    log_probs = torch.randn(1, 2, V + 1).log_softmax(2)
    found = ctc_alignment(log_probs, torch.tensor([2]), torch.tensor([[0, 0]]), torch.tensor([2]))
    assert float(found.log_probs[0]) == -float("inf")
    assert found.label_frames[0].tolist() == found.label_ends[0].tolist() == [-1, -1]


def ctc_alignment(
    log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor
) -> Alignment:
    how = (CtcTopology(), V)
    scores = frame_scores(log_probs, labels, label_lengths, *how)
    return best_alignment(scores, labels, lengths, label_lengths, *how)
