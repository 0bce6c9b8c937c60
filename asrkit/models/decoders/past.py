"""What a Transformer decoder remembers of each hypothesis' labels."""

from __future__ import annotations

import torch
from torch import Tensor


class Past:
    """Keys and values of the labels so far, in one layer; part of a search's state.

    Picking hypotheses only notes which ones: a copy is made once, when the next label comes.
    Hypotheses may differ in length; where they do, `mask` says what is valid.

    Args:
        stored: (L, N, 2, D) keys and values of N stored hypotheses; more may be appended behind
            the first `used` ones.
        rows: (H,) which of them each hypothesis continues.
        lengths: (H,) labels of each hypothesis.
        even: Whether all lengths are L.
        used: How many of the N are in use; the rest is room.
    """

    def __init__(
        self, stored: Tensor, rows: Tensor, lengths: Tensor, even: bool, used: int
    ) -> None:
        self.stored, self.rows, self.lengths = stored, rows, lengths
        self.even, self.used = even, used

    @classmethod
    def empty(cls, stored: Tensor) -> Past:
        """Returns the past of N hypotheses without labels, from an empty tensor (0, N, 2, D)."""
        rows = torch.arange(stored.shape[1], device=stored.device)
        return cls(stored, rows, torch.zeros_like(rows), even=True, used=len(rows))

    @property
    def mask(self) -> Tensor | None:
        """(H, 1, 1, L) True = valid, or None where all is."""
        if self.even:
            return None
        places = torch.arange(self.stored.shape[0], device=self.rows.device)
        return (places < self.lengths[:, None])[:, None, None]

    def index_select(self, axis: int, rows: Tensor) -> Past:
        """Returns the past of some hypotheses; the axis is 0, as for any part of a state."""
        chosen = self.rows.index_select(axis, rows)
        return Past(self.stored, chosen, self.lengths[rows], self.even, self.used)

    def grown(self, newest: Tensor) -> Past:
        """Returns the past with one more label's keys and values (H, 2, D), stored in order."""
        length = self.stored.shape[0] if self.even else int(self.lengths.max())
        count = len(newest)
        grown = newest.new_empty(length + 1, *newest.shape)
        starts = self.stored.shape[1] * torch.arange(length, device=self.rows.device)
        places = (starts[:, None] + self.rows).flatten()
        torch.index_select(self.stored.flatten(0, 1), 0, places, out=grown[:length].flatten(0, 1))
        rows = torch.arange(count, device=self.rows.device)
        if self.even:
            grown[length] = newest
        else:
            grown[length] = 0.0  # what is never written must still be a number
            grown[self.lengths, rows] = newest
        return Past(grown, rows, self.lengths + 1, self.even, count)

    def join(self, other: Past) -> Past:
        """Returns the hypotheses of both, other's behind.

        The tensor of this past is written on where it has room: it must not be joined twice.
        """
        length = max(int(self.lengths.max()), other.stored.shape[0])  # room beyond may be left out
        count = len(other.rows)
        mine = self
        if length > self.stored.shape[0] or self.used + count > self.stored.shape[1]:
            mine = self._with_room(length, count)
        target = mine.stored[: other.stored.shape[0], mine.used : mine.used + count]
        target.copy_(other.stored.index_select(1, other.rows))
        places = torch.arange(mine.used, mine.used + count, device=self.rows.device)
        lengths = torch.cat([self.lengths, other.lengths])
        # Beyond the end of a hypothesis are values of others: only the mask excludes them.
        rows = torch.cat([mine.rows, places])
        return Past(mine.stored, rows, lengths, even=False, used=mine.used + count)

    def _with_room(self, length: int, count: int) -> Past:
        """Returns the same hypotheses, those no longer in use dropped, with room for others."""
        live, rows = self.rows.unique(return_inverse=True)
        room = 2 * len(self.rows) + 2 * count
        size = (length + length // 2, len(live) + room, *self.stored.shape[2:])
        stored = self.stored.new_zeros(size)
        kept = min(length, self.stored.shape[0])
        stored[:kept, : len(live)] = self.stored[:kept, live]
        return Past(stored, rows, self.lengths, even=False, used=len(live))
