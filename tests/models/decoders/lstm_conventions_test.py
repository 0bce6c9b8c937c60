"""What toolkits do differently in the LSTM decoder, against formulas written down in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.nn.lstm import lstm_step
from asrkit.nn.lstm_cell import LstmCell
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import select
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

Array = NDArray[np.float64]
CELL, OUTPUT = 0.15, 0.05
LABELS = torch.tensor([[5, 1, 1, 4], [5, 0, 3, 2]])  # 5 is end of sentence


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def expected_scores(decoder: LstmDecoder, labels: list[int], frames: Array) -> Array:
    """Returns the scores (L, V + 1) after each label of one utterance (T, D), outside of training.

    Written after the definitions, not after the code: the new output and cell are those of an LSTM
    whose gates come in a given order; zoneout then mixes them with the old ones.
    """
    w = {name: p.detach().double().numpy() for name, p in decoder.named_parameters()}
    how, layers = decoder.lstm, ["cell", *(f"upper.{n}" for n in range(len(decoder.upper)))]
    size = w["cell.weight_hh"].shape[1]
    h = {layer: np.zeros(size) for layer in layers}
    c = {layer: np.zeros(size) for layer in layers}
    attended, beta, found = np.zeros(frames.shape[1]), np.zeros(len(frames)), []
    fertility = sigmoid(frames @ w["inverse_fertility.weight"][0])
    for place, label in enumerate(labels):
        word = w["embedding.weight"][label]
        if place == 0 and decoder.first_input == "zeros":
            word = np.zeros_like(word)
        x = np.concatenate([word, attended])
        for layer in layers:
            total = w[f"{layer}.weight_ih"] @ x + w[f"{layer}.weight_hh"] @ h[layer]
            total = total + w[f"{layer}.bias_ih"] + w.get(f"{layer}.bias_hh", 0.0)
            part = {gate: total[k * size : (k + 1) * size] for k, gate in enumerate(how.gates)}
            forget = sigmoid(part["f"] + how.forget_bias)
            new_c = forget * c[layer] + sigmoid(part["i"]) * np.tanh(part["g"])
            new_h = sigmoid(part["o"]) * np.tanh(new_c)
            c[layer] = (1 - CELL) * new_c + CELL * c[layer]
            h[layer] = (1 - OUTPUT) * new_h + OUTPUT * h[layer]
            x = h[layer] if how.read == "zoned" else new_h
        query = w["query.weight"] @ x + w["query.bias"]
        inner = frames @ w["key.weight"].T + np.outer(beta, w["feedback.weight"][:, 0]) + query
        energy = np.tanh(inner) @ w["energy.weight"][0]
        alpha = np.exp(energy) / np.exp(energy).sum()
        beta = beta + 0.5 * alpha * fertility
        attended = alpha @ frames
        readout = w["readout.weight"] @ np.concatenate([x, word, attended]) + w["readout.bias"]
        maxout = readout.reshape(-1, 2).max(1)
        found.append(w["output.weight"] @ maxout + w["output.bias"])
    return np.stack(found)


def make(**options: Any) -> LstmDecoder:
    torch.manual_seed(0)
    outputs = Outputs.labels_with_eos(Vocabulary(list("abcde")))
    shares = {"zoneout_cell": CELL, "zoneout_output": OUTPUT}
    decoder = LstmDecoder(outputs, 6, 3, 5, 4, 8, **{**shares, **options}).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return decoder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lstm": LstmCell(read="plain")},
        {"lstm": LstmCell(biases="one", read="plain"), "first_input": "zeros"},
        {"lstm": LstmCell(gates="gifo", biases="one")},
        {"lstm": LstmCell(gates="igfo", forget_bias=1.0, read="plain")},
        {"lstm": LstmCell(forget_bias=1.0), "first_input": "zeros", "num_layers": 2},
        {"lstm": LstmCell(biases="one", read="plain"), "num_layers": 3},
    ],
)
@torch.no_grad()
def test_scores_are_those_of_the_definitions(options: dict[str, Any]) -> None:
    decoder, frames = make(**options), torch.randn(2, 7, 6, dtype=torch.float64)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    found = decoder(LABELS, frames, mask)
    memory = decoder.begin(frames, mask)
    state = decoder.initial_state(memory)
    steps = []
    for labels in LABELS.unbind(1):
        scores, state = decoder.step(state, labels, memory)
        steps.append(scores)
        state = select(state, torch.arange(2))
    expected_steps = found.float().log_softmax(2)
    torch.testing.assert_close(torch.stack(steps, 1), expected_steps, check_dtype=False)
    for row, length in enumerate((7, 4)):
        seen = frames[row, :length].numpy()
        expected = expected_scores(decoder, LABELS[row].tolist(), seen)
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_a_given_context_takes_the_place_of_attention() -> None:
    decoder = make(lstm=LstmCell(read="plain"), first_input="zeros", num_layers=2)
    context = torch.randn(2, 4, 6, dtype=torch.float64)
    expected = decoder.in_context(LABELS, context).float().log_softmax(2)
    memory = decoder.without_frames(torch.zeros(2, 0, dtype=torch.bool))
    state = decoder.initial_state(memory)
    for place in range(4):
        scores, state = decoder.step_in_context(state, LABELS[:, place], context[:, place])
        torch.testing.assert_close(scores, expected[:, place], check_dtype=False)


@torch.no_grad()
def test_lstm_and_readout_read_the_same_dropped_embeddings() -> None:
    nothing = {"zoneout_cell": 0.0, "zoneout_output": 0.0, "dropout": 0.0}
    decoder, labels = make(**nothing, embedding_dropout=0.5), torch.tensor([[5, 1, 0, 4]])
    frames, mask = torch.randn(1, 7, 6, dtype=torch.float64), torch.ones(1, 7, dtype=torch.bool)
    read = []
    decoder.embedding_dropout.register_forward_hook(lambda *given: read.append(given[2]))
    found = decoder.train()(labels, frames, mask)
    (embedded,) = read
    kept = embedded != 0
    assert 0 < int(kept.sum()) < kept.numel()
    expected = decoder.embedding(labels) / 0.5
    torch.testing.assert_close(embedded, torch.where(kept, expected, 0.0))
    decoder.embedding.weight[labels] = embedded
    torch.testing.assert_close(found, decoder.eval()(labels, frames, mask))


def test_a_step_with_one_bias_is_one_whose_other_bias_is_zero() -> None:
    torch.manual_seed(0)
    one, two = LstmCell(biases="one").layer(3, 4), torch.nn.LSTMCell(3, 4)
    assert sorted(one.state_dict()) == ["bias_ih", "weight_hh", "weight_ih"]
    two.load_state_dict({**one.state_dict(), "bias_hh": torch.zeros(16)})
    x, state = torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))
    torch.testing.assert_close(lstm_step(one, x, state), two(x, state))


def test_zoneout_may_keep_the_same_places_in_all_utterances() -> None:
    old, new = (torch.zeros(3, 1000),) * 2, (torch.ones(3, 1000),) * 2
    for part in Zoneout(0.5, 0.5).mix(old, new, training=True, shared=True):
        assert torch.equal(part, part[:1].expand(3, -1))
        assert 0.4 < float(part.mean()) < 0.6
    apart = Zoneout(0.5).mix(old, new, training=True)[1]
    assert not torch.equal(apart, apart[:1].expand(3, -1))


def test_wrong_conventions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gates \(ifco\) must have each of i, f, g and o"):
        LstmCell(gates="ifco")
    with pytest.raises(ValueError, match=r"num_layers \(0\) must be at least 1"):
        make(num_layers=0)
