"""Attention to a window of frames."""

from __future__ import annotations

import pytest
import torch

from asrkit.models.heads.transducer.frame_contexts import WindowAttention
from asrkit.nn.masking import length_mask

LENGTHS = torch.tensor([7, 3, 1])


def make(window: int = 5) -> WindowAttention:
    torch.manual_seed(0)
    return WindowAttention(4, window, key_dim=6).eval()


def frames() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 7, 4)


def test_a_frame_attends_to_its_neighbours_inside_the_utterance() -> None:
    attention, seen = make(), frames()
    found = attention(seen, length_mask(LENGTHS, 7))
    for row, length in enumerate(LENGTHS.tolist()):
        keys, queries = attention.key(seen[row]), attention.query(seen[row])
        for frame in range(length):
            places = range(max(frame - 2, 0), min(frame + 3, length))
            energies = torch.stack([queries[frame] @ keys[place] / 6**0.5 for place in places])
            weights = energies.softmax(0)
            wanted = torch.stack([seen[row, place] for place in places])
            torch.testing.assert_close(found[row, frame], weights @ wanted)


def test_padding_is_never_seen() -> None:
    attention, mask, seen = make(), length_mask(LENGTHS, 7), frames()
    spoilt = seen.masked_fill(~mask[..., None], float("nan"))
    found, wanted = attention(spoilt, mask), attention(seen, mask)
    torch.testing.assert_close(found[mask], wanted[mask])
    alone = attention(seen[1:2, :3], mask[1:2, :3])
    torch.testing.assert_close(alone[0], wanted[1, :3])


def test_a_window_of_one_is_the_frame() -> None:
    mask, seen = length_mask(LENGTHS, 7), frames()
    torch.testing.assert_close(make(1)(seen, mask)[mask], seen[mask])


def test_dropout_is_of_keys_and_weights() -> None:
    attention, seen = make().train(), frames()
    mask = torch.ones(3, 7, dtype=torch.bool)
    found = attention(seen, mask)
    assert not found.equal(attention(seen, mask))
    found.sum().backward()
    assert float(attention.key.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_windows_without_a_middle_are_refused() -> None:
    with pytest.raises(ValueError, match=r"window \(4\) must be odd"):
        make(4)
    with pytest.raises(ValueError, match=r"key_dim \(0\)"):
        WindowAttention(4, 3, key_dim=0)
