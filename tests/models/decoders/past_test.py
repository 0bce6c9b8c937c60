"""What a Transformer decoder remembers while hypotheses grow at different times."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.models.decoders.past import Past


def newest(count: int, first: int) -> Tensor:
    """Returns keys and values (H, 2, 1) that are numbers of their own."""
    return torch.arange(first, first + 2 * count, dtype=torch.float32).view(count, 2, 1)


def remembered(past: Past) -> list[list[float]]:
    """Returns the keys of each hypothesis."""
    stored = past.stored[:, past.rows, 0, 0]
    return [stored[: int(n), row].tolist() for row, n in enumerate(past.lengths)]


def test_hypotheses_of_other_lengths_keep_their_labels_and_no_more_room_than_they_need() -> None:
    torch.manual_seed(0)
    past = Past.empty(torch.zeros(0, 6, 2, 1))
    expected: list[list[float]] = [[] for _ in range(6)]
    longest = 0
    for step in range(300):
        # Half of six hypotheses take a label; then six of those that stayed and moved go on. Now
        # and then all go on from the shortest, so that lengths stay below what they once were.
        moving = torch.randperm(6)[:3]
        if step % 25 == 24:
            moving = past.lengths.argsort()[:1].expand(3)
        taken = newest(3, 10 * step)
        moved = past.index_select(0, moving).grown(taken)
        expected += [
            [*expected[row], float(taken[number, 0])] for number, row in enumerate(moving.tolist())
        ]
        target = torch.randperm(9)[:6]
        if step % 25 == 24:
            target = torch.tensor([6, 7, 8, 6, 7, 8])
        past = past.join(moved).index_select(0, target)
        expected = [expected[row] for row in target.tolist()]
        assert remembered(past) == expected
        longest = max(longest, int(past.lengths.max()))
        assert past.stored.shape[0] <= 1.5 * (longest + 1)
        assert past.stored.shape[1] <= 6 + 2 * 6 + 2 * 3
    assert 20 < longest < 200
