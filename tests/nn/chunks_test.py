from __future__ import annotations

import pytest
import torch

from asrkit.nn.chunks import Chunking

LENGTHS = torch.tensor([7, 1, 4])


def places() -> torch.Tensor:
    """Frames that say who and where they are; padding is huge."""
    frames = torch.arange(3)[:, None] * 100.0 + torch.arange(7)
    outside = torch.arange(7) >= LENGTHS[:, None]
    return frames.masked_fill(outside, 1e9)[..., None].expand(-1, -1, 2)


@pytest.mark.parametrize(
    ("chunking", "expected"),
    [
        (Chunking(3), [[0, 1, 2], [3, 4, 5], [6], [100], [200, 201, 202], [203]]),
        (
            Chunking(4, 2),
            [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6], [6], [100], [200, 201, 202, 203], [202, 203]],
        ),
        (Chunking(50), [[0, 1, 2, 3, 4, 5, 6], [100], [200, 201, 202, 203]]),
    ],
)
def test_chunks_begin_every_step_and_end_with_the_utterance(
    chunking: Chunking, expected: list[list[int]]
) -> None:
    chunks = chunking.of(LENGTHS)
    cut = chunks.cut(places(), padding=-1)
    size = max(map(len, expected))
    assert cut[..., 0].tolist() == [row + [-1] * (size - len(row)) for row in expected]
    assert chunks.lengths.tolist() == [len(row) for row in expected]
    assert torch.equal(cut[..., 0], cut[..., 1])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 9])
def test_joining_is_the_way_back_for_frames_and_gradients(size: int) -> None:
    chunks = Chunking(size).of(LENGTHS)
    frames = torch.randn(3, 7, 2, requires_grad=True)
    joined = chunks.join(chunks.cut(frames), 7)
    valid = torch.arange(7) < LENGTHS[:, None]
    assert torch.equal(joined[valid], frames[valid])
    weight = torch.randn(3, 7, 2)
    (gradient,) = torch.autograd.grad((joined * weight)[valid].sum(), frames)
    assert torch.equal(gradient, weight.masked_fill(~valid[..., None], 0.0))


def test_sizes_that_make_no_sense_are_refused() -> None:
    for size, step in ((0, None), (4, 5), (4, 0)):
        with pytest.raises(ValueError, match="step between 1 and the size|chunks need a size"):
            Chunking(size, step)
