"""Decoders whose positions see frames of their own, against steps over these frames alone."""

from __future__ import annotations

import pytest
import torch

from asrkit.models.decoders.interfaces import AttendingDecoder
from tests.models.decoders.lstm_test import make as make_lstm
from tests.models.decoders.transformer_test import make as make_transformer

LABELS = torch.tensor([[5, 1, 5, 4, 2, 5], [5, 0, 3, 5, 1, 5]])
FIRST = torch.tensor([[0, 0, 3, 3, 3, 6], [0, 0, 0, 3, 3, 6]])
"""The first of three frames that each position sees."""


@pytest.mark.parametrize("decoder", [make_lstm(), make_transformer()], ids=["lstm", "transformer"])
def test_positions_that_see_other_frames_are_steps_over_these(decoder: AttendingDecoder) -> None:
    torch.manual_seed(1)
    frames = torch.randn(2, 9, 6)
    places = torch.arange(9)
    mask = (places >= FIRST[..., None]) & (places < FIRST[..., None] + 3)  # (B, L, T)
    with torch.no_grad():
        whole = decoder(LABELS, frames, mask).log_softmax(2)
        shown = decoder.attention_weights(LABELS, frames, mask)
        for row in range(2):
            state, before = None, -1
            for place, first in enumerate(FIRST[row].tolist()):
                seen = frames[row, None, first : first + 3]
                memory = decoder.begin(seen, torch.ones(1, 3, dtype=torch.bool))
                if state is None:
                    state = decoder.initial_state(memory)
                elif first != before:
                    state = decoder.on_frames(state, memory)
                scores, state = decoder.step(state, LABELS[row, place, None], memory)
                torch.testing.assert_close(scores[0], whole[row, place], atol=1e-5, rtol=1e-5)
                before = first
    assert not bool(shown.masked_select(~mask).any())
    torch.testing.assert_close(shown.sum(2), torch.ones(2, 6))
