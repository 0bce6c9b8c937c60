"""The LSTM decoder: its attention against a plain loop, zoneout, padding, and step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.scorers.interfaces import select
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

DIM = 6
LABELS = torch.tensor([[5, 1, 1, 4], [5, 0, 3, 2]])
MASK = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])


def make(cell: float = 0.0, output: float = 0.0) -> LstmDecoder:
    torch.manual_seed(0)
    sizes = {"embedding_dim": 3, "hidden_dim": 5, "attention_dim": 4, "readout_dim": 8}
    shares = {"zoneout_cell": cell, "zoneout_output": output}
    outputs = Outputs.labels_with_eos(Vocabulary(list("abcde")))
    return LstmDecoder(outputs, DIM, **sizes, **shares).eval()  # type: ignore[arg-type]


def frames() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 7, DIM)


def attention_by_loops(decoder: LstmDecoder, labels: Tensor, seen: Tensor) -> list[Tensor]:
    """Returns the attention (T,) of one utterance (T, D) after each label."""
    hidden = cell = torch.zeros(1, 5)
    attended, accumulated, result = torch.zeros(DIM), torch.zeros(len(seen)), []
    for label in labels:
        joined = torch.cat([decoder.embedding(label), attended])
        hidden, cell = decoder.cell(joined[None], (hidden, cell))
        energies = [
            decoder.energy(
                torch.tanh(
                    decoder.key(frame) + decoder.query(hidden[0]) + decoder.feedback(past[None])
                )
            )
            for frame, past in zip(seen, accumulated, strict=True)
        ]
        weights = torch.cat(energies).softmax(0)
        attended = sum((w * f for w, f in zip(weights, seen, strict=True)), torch.zeros(DIM))
        fertility = torch.sigmoid(decoder.inverse_fertility(seen))[:, 0]
        accumulated = accumulated + 0.5 * weights * fertility
        result.append(weights)
    return result


def test_attention_is_that_of_a_plain_loop() -> None:
    decoder, seen = make(), frames()
    found = decoder.attention_weights(LABELS, seen, MASK)
    for row, length in enumerate((7, 4)):
        expected = attention_by_loops(decoder, LABELS[row], seen[row, :length])
        torch.testing.assert_close(found[row, :, :length], torch.stack(expected))
    assert float(found[1, :, 4:].abs().max()) == 0.0


def test_frames_in_the_padding_have_no_say() -> None:
    decoder, clean = make(), frames()
    dirty = clean.masked_fill(~MASK[..., None], 1e4)
    torch.testing.assert_close(decoder(LABELS, dirty, MASK), decoder(LABELS, clean, MASK))


def test_steps_equal_teacher_forcing_for_reordered_hypotheses() -> None:
    decoder, seen = make(cell=0.15, output=0.05), frames()
    spread = torch.arange(2).repeat_interleave(3)
    torch.manual_seed(2)
    labels = torch.randint(0, 5, (6, 4))
    with torch.no_grad():
        expected = decoder(labels, seen[spread], MASK[spread]).log_softmax(2)
        memory = decoder.begin(seen, MASK)
        state = select(decoder.initial_state(memory), spread)
        order = torch.arange(6)
        for position in range(4):
            scores, state = decoder.step(state, labels[order, position], memory)
            torch.testing.assert_close(scores, expected[order, position], atol=1e-5, rtol=1e-5)
            swap = torch.tensor([2, 0, 1, 3, 5, 4])  # within each utterance
            state, order = select(state, swap), order[swap]


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"zoneout_output \(1.0\)"):
        make(output=1.0)
    with pytest.raises(ValueError, match=r"zoneout_cell \(-0.1\)"):
        make(cell=-0.1)
    with pytest.raises(ValueError, match=r"readout_dim \(7\) must be even"):
        LstmDecoder(Outputs.labels_with_eos(Vocabulary(["a"])), DIM, 3, 5, 4, 7)
