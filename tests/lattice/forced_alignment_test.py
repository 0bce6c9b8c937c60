"""Best paths of long utterances, against torchaudio's."""

from __future__ import annotations

import pytest
import torch
import torchaudio

from asrkit.lattice.forced_alignment import best_path, label_spans

V = 6


@pytest.mark.parametrize("seed", range(4))
def test_paths_equal_those_of_torchaudio(seed: int) -> None:
    torch.manual_seed(seed)
    lengths, label_lengths = torch.tensor([60, 41, 20]), torch.tensor([14, 9, 0])
    log_probs = (2 * torch.randn(3, 60, V + 1)).log_softmax(2)
    labels = torch.randint(0, V, (3, 14))
    labels[0, 3:5] = 2  # a label twice in a row
    paths, totals = best_path(log_probs, lengths, labels, label_lengths)
    for u, (length, count) in enumerate(zip(lengths.tolist(), label_lengths.tolist(), strict=True)):
        assert (paths[u, length:] == -1).all()
        if not count:
            assert (paths[u] == -1).all()
            blanks = log_probs[u, :length, V].sum()
            assert float(totals[u]) == pytest.approx(float(blanks), abs=1e-3)
            continue
        path, scores = torchaudio.functional.forced_align(
            log_probs[u : u + 1, :length], labels[u : u + 1, :count], blank=V
        )
        mine = paths[u, :length]
        emitted = torch.where(mine >= 0, labels[u][mine.clamp(min=0)], V)
        torch.testing.assert_close(emitted, path[0].long())
        assert float(totals[u]) == pytest.approx(float(scores.sum()), abs=1e-3)


def test_spans_are_first_and_last_frames() -> None:
    path = torch.tensor([-1, 0, 0, -1, 1, 2, 2, 2, -1, -1])
    assert label_spans(path) == [(1, 3), (4, 5), (5, 8)]
