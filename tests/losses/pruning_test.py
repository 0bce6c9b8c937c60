"""Windows of label counts: what they promise, and what they keep."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asrkit.lattice.cells import occupations
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.pruning import Windows, best_windows

BOTH = pytest.mark.parametrize("topology", [RnntTopology(), RnaTopology()])


def sizes_of(topology: Topology, batch: int, frames: int, counts: int) -> tuple[Tensor, Tensor]:
    """Returns random lengths of frames and labels that fit; counts is U + 1."""
    lengths = torch.randint(1, frames + 1, (batch,))
    label_lengths = torch.randint(0, counts, (batch,))
    if not topology.labels_stay:
        label_lengths = torch.minimum(label_lengths, lengths)
    return lengths, label_lengths


def require_promises(
    windows: Windows, lengths: Tensor, label_lengths: Tensor, topology: Topology, counts: int
) -> None:
    """Checks everything that the documentation says of windows."""
    step = windows.size - 1 if topology.labels_stay else 1
    for starts, length, size in zip(
        windows.start.tolist(), lengths.tolist(), label_lengths.tolist(), strict=True
    ):
        last = max(0, size + 1 - windows.size)
        assert starts[0] == 0
        assert starts[length - 1 :] == [last] * (len(starts) - length + 1)
        moves = [after - before for before, after in zip(starts, starts[1:], strict=False)]
        assert all(0 <= move <= step for move in moves)
        assert last + windows.size <= counts


def restricted_loss(
    scores: Tensor, windows: Windows, labels: Tensor, given: tuple[Tensor, Tensor, Topology]
) -> Tensor:
    """Returns the loss over the alignments within windows, by leaving out all other cells."""
    counts = torch.arange(scores.shape[3])
    start = windows.start[:, :, None]
    inside = (counts >= start) & (counts < start + windows.size)
    return full_sum_loss(scores.masked_fill(~inside, -torch.inf), labels, *given)


@BOTH
@pytest.mark.parametrize("size", [2, 3, 5])
def test_windows_of_random_occupations_always_have_an_alignment(
    topology: Topology, size: int
) -> None:
    torch.manual_seed(size)
    for _ in range(30):
        frames, counts = int(torch.randint(1, 12, ())), int(torch.randint(1, 15, ()))
        lengths, label_lengths = sizes_of(topology, 6, frames, counts)
        occupation = torch.rand(2, 6, frames, counts)
        windows = best_windows(occupation, lengths, label_lengths, topology, size)
        require_promises(windows, lengths, label_lengths, topology, counts)
        labels = torch.zeros(6, counts - 1, dtype=torch.int64)
        scores = torch.full_like(occupation, -1.0)
        loss = restricted_loss(scores, windows, labels, (lengths, label_lengths, topology))
        assert bool(loss.isfinite().all())


@BOTH
def test_sizes_grow_only_where_frames_have_too_many_labels(topology: Topology) -> None:
    def size_of(lengths: list[int], label_lengths: list[int], size: int) -> int:
        shape = (2, len(lengths), 6, 13)
        sizes = (torch.tensor(lengths), torch.tensor(label_lengths))
        return best_windows(torch.rand(shape), *sizes, topology, size).size

    assert size_of([6, 6], [6, 5], 2) == 2
    assert size_of([6, 6], [6, 5], 40) == 13
    if topology.labels_stay:
        assert size_of([6, 6], [12, 5], 2) == 3
        assert size_of([6, 1], [6, 7], 2) == 8
        assert size_of([6, 0], [6, 7], 2) == 2  # has no alignment, whatever the window


@BOTH
def test_a_sure_alignment_is_kept_whole(topology: Topology) -> None:
    """One with at most as many labels in a frame as windows may rise."""
    torch.manual_seed(0)
    for _ in range(20):
        said = torch.randint(0, 4 if topology.labels_stay else 2, (1, 15))
        count = int(said.sum())
        labels = torch.zeros(1, count, dtype=torch.int64)
        given = (torch.tensor([15]), torch.tensor([count]), topology)
        scores = torch.full((2, 1, 15, count + 1), -500.0)
        u = 0
        for frame, new in enumerate(said[0].tolist()):
            scores[1, 0, frame, u : u + new] = 0.0
            u += new
            if topology.labels_stay or not new:
                scores[0, 0, frame, u] = 0.0
        windows = best_windows(occupations(scores, labels, *given)[1], *given, 4)
        assert windows.size == min(4, count + 1)
        assert float(restricted_loss(scores, windows, labels, given)) == pytest.approx(0.0)


def test_windows_are_those_that_keep_most() -> None:
    """Where nothing has to be moved, each window is the best of its frame, one by one."""
    torch.manual_seed(0)
    topology, frames, counts, size = RnaTopology(), 20, 9, 3
    given = (torch.tensor([frames]), torch.tensor([counts - 1]), topology)
    # A ridge along the diagonal.
    ridge = (torch.arange(counts) - torch.arange(frames)[:, None] * (counts - 1) / frames).abs()
    scores = (-0.7 * ridge + 0.01 * torch.rand(2, 1, frames, counts)).double()
    labels = torch.zeros(1, counts - 1, dtype=torch.int64)
    occupation = occupations(scores, labels, *given)[1]
    windows = best_windows(occupation, *given, size)
    nodes = occupation.sum(0)[0].tolist()
    for row, start in zip(nodes, windows.start[0].tolist(), strict=True):
        if start in (0, counts - size):
            continue  # may have been moved
        sums = [sum(row[first : first + size]) for first in range(counts - size + 1)]
        assert start == max(range(len(sums)), key=sums.__getitem__)
    assert len(set(windows.start[0].tolist())) == counts - size + 1


def test_a_frame_that_is_entered_below_its_window_is_worth_less() -> None:
    """All leave frame 1 at u = 3, entered at 1: the label before window 2 to 4 takes it off."""
    blank, label = torch.zeros(2, 1, 3, 6)
    blank[0, 0, 1] = blank[0, 1, 3] = blank[0, 2, 5] = 1.0
    label[0, 0, 0] = label[0, 1, 1] = label[0, 1, 2] = label[0, 2, 3] = label[0, 2, 4] = 1.0
    given = (torch.tensor([3]), torch.tensor([5]), RnntTopology())
    windows = best_windows(torch.stack([blank, label]), *given, 3)
    assert windows.start.tolist() == [[0, 1, 3]]
    loss = restricted_loss(
        torch.stack([blank, label]).log(), windows, torch.zeros(1, 5, dtype=torch.int64), given
    )
    assert float(loss) == 0.0


@BOTH
def test_padding_moves_no_window(topology: Topology) -> None:
    torch.manual_seed(3)
    lengths, label_lengths = sizes_of(topology, 8, 9, 8)
    lengths[0], label_lengths[0] = 9, 7
    scores, labels = torch.randn(2, 8, 12, 10), torch.zeros(8, 9, dtype=torch.int64)
    given = (lengths, label_lengths, topology)
    padded = best_windows(occupations(scores, labels, *given)[1], *given, 3)
    occupation = occupations(scores[:, :, :9, :8], labels[:, :7], *given)[1]
    windows = best_windows(occupation, *given, 3)
    assert padded.size == windows.size
    assert padded.start[:, :9].tolist() == windows.start.tolist()
    for row in range(8):
        one = (lengths[row : row + 1], label_lengths[row : row + 1], topology)
        own = occupation[:, row : row + 1, : one[0], : one[1] + 1]
        alone = best_windows(own, *one, windows.size)
        if alone.size == windows.size:
            assert alone.start[0].tolist() == windows.start[row, : one[0]].tolist()


def test_what_cannot_be_pruned_is_refused() -> None:
    given = (torch.rand(2, 1, 3, 3), torch.tensor([3]), torch.tensor([2]))
    with pytest.raises(ValueError, match="CtcTopology can't be pruned"):
        best_windows(*given, CtcTopology(), 3)
    with pytest.raises(ValueError, match="window of 1"):
        best_windows(*given, RnaTopology(), 1)
