"""Language models: the softmax in chunks, and an output layer tied to the embedding."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.models.decoders.interfaces import LabelDecoder
from asrkit.models.decoders.mini_lstm import MiniLstmDecoder
from asrkit.models.decoders.recurrent import StackedLstmDecoder
from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.models.language_model import LanguageModel
from asrkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(list("abcd"))
SIZES: dict[str, Any] = {"embedding_dim": 3, "hidden_dim": 5, "num_layers": 2}
TIED = partial(StackedLstmDecoder, **SIZES, tied=True)
PLAIN = partial(StackedLstmDecoder, **SIZES)
TRANSFORMER = partial(TransformerDecoder, dim=4, num_layers=1, num_heads=2, hidden_dim=6)


def batch() -> Batch:
    return Batch(
        ids=["a", "b"],
        signal=torch.zeros(2, 0, dtype=torch.int16),
        signal_lengths=torch.zeros(2, dtype=torch.int64),
        labels=torch.tensor([[0, 3, 1], [2, 0, 0]]),
        label_lengths=torch.tensor([3, 1]),
    )


def model(decoder: Any, **settings: Any) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(VOCABULARY, decoder, **settings).eval()


def gradients(of: LanguageModel) -> list[Tensor]:
    report = of.train()(batch())
    return list(torch.autograd.grad(report["loss"].total, list(of.parameters())))


@pytest.mark.parametrize("decoder", [PLAIN, TIED, TRANSFORMER])
def test_chunks_change_neither_losses_nor_gradients(decoder: Any) -> None:
    whole, chunked = model(decoder), model(decoder, softmax_chunk=2)
    expected, found = whole(batch()), chunked(batch())
    for name, part in expected.items():
        torch.testing.assert_close(found[name].total, part.total)
        assert found[name].count == part.count
    each = found["loss"].per_utterance
    torch.testing.assert_close(each, expected["loss"].per_utterance)
    without_dropout = {"dropout": 0.0}
    pair = (model(partial(decoder, **without_dropout), softmax_chunk=size) for size in (None, 2))
    for ours, wanted in zip(*map(gradients, pair), strict=True):
        torch.testing.assert_close(ours, wanted)


def test_a_decoder_without_a_linear_output_layer_is_refused() -> None:
    def mini(outputs: Any, encoder_dim: Any) -> LabelDecoder:
        return MiniLstmDecoder(outputs, encoder_dim, TRANSFORMER, frame_dim=4, units=3)

    with pytest.raises(ValueError, match="softmax_chunk: the scores of a MiniLstmDecoder"):
        model(mini, softmax_chunk=2)


def test_tied_weights_are_one_and_the_same_and_steps_agree_with_whole_sentences() -> None:
    tied = model(TIED)
    decoder = tied.decoder
    assert isinstance(decoder, StackedLstmDecoder)
    assert decoder.output.weight is decoder.embedding.weight
    scorer, labels = (
        tied.label_scorer(SimpleNamespace(lengths=batch().label_lengths)),
        batch().labels,
    )
    state, total = scorer.initial_state(), torch.zeros(())
    for column in labels.unbind(1):
        total = total + scorer.score(state)[0, column[0]]
        state = scorer.advance(state, column)
    losses = tied(batch())["loss"].per_utterance
    assert losses is not None
    torch.testing.assert_close(-(total + scorer.score(state)[0, -1]), losses[0])
