"""The Transformer decoder: causal, blind to padding, the same step by step; also without frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.models.decoders.transformer_block import DecoderBlock
from asrkit.scorers.interfaces import join, select
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

V, DIM = 5, 6
LABELS = torch.tensor([[5, 1, 1, 4], [5, 0, 3, 2]])
MASK = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])


def make(encoder_dim: int | None = DIM) -> TransformerDecoder:
    torch.manual_seed(0)
    outputs = Outputs.labels_with_eos(Vocabulary(list("abcde")))
    return TransformerDecoder(outputs, encoder_dim, 8, 2, 2, 12).eval()


def frames() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 7, DIM)


def test_frames_in_the_padding_have_no_say() -> None:
    decoder, clean = make(), frames()
    dirty = clean.masked_fill(~MASK[..., None], 1e4)
    torch.testing.assert_close(decoder(LABELS, dirty, MASK), decoder(LABELS, clean, MASK))
    alone = decoder(LABELS[1:], clean[1:, :4], MASK[1:, :4])
    torch.testing.assert_close(alone[0], decoder(LABELS, clean, MASK)[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("encoder_dim", [DIM, None])
def test_no_position_sees_the_labels_after_it(encoder_dim: int | None) -> None:
    decoder = make(encoder_dim)
    seen = None if encoder_dim is None else frames()
    changed = LABELS.clone()
    changed[:, 2] = 0
    before, after = decoder(LABELS, seen, MASK), decoder(changed, seen, MASK)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


@pytest.mark.parametrize("encoder_dim", [DIM, None])
def test_steps_equal_teacher_forcing_for_reordered_hypotheses(encoder_dim: int | None) -> None:
    decoder = make(encoder_dim)
    seen = None if encoder_dim is None else frames()
    mask = torch.ones(2, 0, dtype=torch.bool) if encoder_dim is None else MASK
    labels = LABELS.repeat_interleave(3, dim=0)  # three hypotheses of each utterance
    torch.manual_seed(2)
    labels[:, 1:] = torch.randint(0, V, (6, 3))
    spread = torch.arange(2).repeat_interleave(3)
    known = seen if seen is None else seen[spread]
    with torch.no_grad():
        expected = decoder(labels, known, mask[spread]).log_softmax(2)
        memory = decoder.begin(seen, mask)
        state = select(decoder.initial_state(memory), spread)
        order = torch.arange(6)
        for position in range(4):
            scores, state = decoder.step(state, labels[order, position], memory)
            torch.testing.assert_close(scores, expected[order, position], atol=1e-5, rtol=1e-5)
            swap = torch.tensor([2, 0, 1, 3, 5, 4])  # within each utterance
            state, order = select(state, swap), order[swap]


def test_the_memory_is_not_repeated_for_each_hypothesis() -> None:
    keys_values, mask = make().begin(frames(), MASK)
    assert mask is MASK
    for key_value in keys_values:
        assert key_value is not None
        assert [tensor.shape for tensor in key_value] == [(2, 2, 7, 4)] * 2


def test_the_picture_is_what_the_last_layer_attends_to() -> None:
    decoder, seen = make(), frames()
    weights = decoder.attention_weights(LABELS, seen, MASK)
    assert weights.shape == (2, 4, 7)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 4))
    assert float(weights[1, :, 4:].abs().max()) == 0.0
    # With values equal to one everywhere but in one frame, attention reads that frame's weight.
    block = decoder.blocks[-1]
    assert isinstance(block, DecoderBlock)
    last = block.cross
    assert last is not None
    captured: list[Tensor] = []
    last.query.register_forward_hook(lambda _, inputs, __: captured.append(inputs[0]))
    decoder(LABELS, seen, MASK)
    key, value = last.memory(seen)
    marked = torch.zeros_like(value)
    marked[:, :, 3] = 1.0
    query = last.query(captured[0]).unflatten(2, (2, -1)).transpose(1, 2)
    read = torch.nn.functional.scaled_dot_product_attention(query, key, marked, MASK[:, None, None])
    torch.testing.assert_close(weights[:, :, 3], read[..., 0].mean(1))


def test_frames_and_encoder_dim_go_together() -> None:
    with pytest.raises(ValueError, match="encoder_dim"):
        make(None)(LABELS, frames(), MASK)
    with pytest.raises(ValueError, match="encoder_dim"):
        make(None).attention_weights(LABELS, frames(), MASK)
    with pytest.raises(ValueError, match="encoder_dim"):
        make().begin(None, MASK)


def test_bad_sizes_are_refused() -> None:
    outputs = Outputs.labels_with_eos(Vocabulary(["a"]))
    with pytest.raises(ValueError, match=r"num_heads \(3\) must divide dim \(8\)"):
        TransformerDecoder(outputs, DIM, 8, 2, 3, 12)
    with pytest.raises(ValueError, match=r"num_layers \(0\) must be at least 1"):
        TransformerDecoder(outputs, DIM, 8, 0, 2, 12)


def test_hypotheses_of_different_lengths_score_as_if_alone() -> None:
    """As in time-synchronous search: some take a label, others wait, states are joined."""
    torch.manual_seed(3)
    decoder, seen = make().eval(), frames()
    with torch.no_grad():
        memory = decoder.begin(seen, MASK)
        start = torch.full((2,), V)
        scores, state = decoder.step(decoder.initial_state(memory), start, memory)
        joined, texts = (scores, state), [[V], [V]]  # one hypothesis per utterance
        for number in range(12):
            width = len(texts) // 2
            picked = torch.randint(0, width, (2, 2)) + width * torch.arange(2)[:, None]
            labels = torch.randint(0, V, (4,))
            chosen = select(joined, picked.flatten())
            moved = decoder.step(chosen[1], labels, memory)
            both = join(joined, moved)
            old, new = 2 * width, torch.arange(4).view(2, 2)
            # Each utterance keeps one hypothesis that waited and two that moved.
            waiting = torch.tensor([number % width, width + number % width])
            order = torch.cat([waiting[:, None], old + new], dim=1).flatten()
            grown = [
                texts[int(p)] + [int(c)] for p, c in zip(picked.flatten(), labels, strict=True)
            ]
            texts = [(texts + grown)[int(row)] for row in order]
            joined = select(both, order)
            for row, text in enumerate(texts):
                known, mask = seen[row // 3, None], MASK[row // 3, None]
                expected = decoder(torch.tensor([text]), known, mask)[0, -1].log_softmax(0)
                torch.testing.assert_close(joined[0][row], expected, atol=1e-5, rtol=1e-5)
    assert len({len(text) for text in texts}) > 1
