"""The chunked attention head: its targets, its loss against sums over search, and learning."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.decoders.interfaces import LabelDecoder
from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.models.heads.chunk_symbols import ChunkSymbols
from asrkit.models.heads.chunked_attention import ChunkedAttentionHead
from asrkit.models.interfaces import Encoded
from asrkit.search.transducer import TransducerSearch
from tests.models.heads.ctc_test import VOCABULARY, TwoBlocks

V = len(VOCABULARY)
LSTM: Factory[LabelDecoder] = partial(
    LstmDecoder, embedding_dim=5, hidden_dim=16, attention_dim=6, readout_dim=16, dropout=0.0
)
TRANSFORMER: Factory[LabelDecoder] = partial(
    TransformerDecoder, dim=8, num_layers=2, num_heads=2, hidden_dim=16, dropout=0.0
)
DECODERS = pytest.mark.parametrize("decoder", [LSTM, TRANSFORMER], ids=["lstm", "transformer"])
BLANK = V
ALIGNED = torch.tensor(
    [
        [BLANK, 0, 0, BLANK, BLANK, BLANK, 1, 1, 2, BLANK],  # the second label in two chunks
        [0, BLANK, 0, 0, -1, -1, -1, -1, -1, -1],
        [BLANK, BLANK, BLANK, BLANK, BLANK, BLANK, BLANK, -1, -1, -1],
    ]
)
LENGTHS = torch.tensor([10, 4, 7])
LABELS = torch.tensor([[0, 1, 2], [0, 0, 1], [1, 1, 1]])
LABEL_LENGTHS = torch.tensor([3, 2, 0])


def make(decoder: Factory[LabelDecoder], smoothing: float = 0.0) -> ChunkedAttentionHead:
    torch.manual_seed(0)
    return ChunkedAttentionHead(
        TwoBlocks(), VOCABULARY, 0.5, decoder, chunk_frames=3, label_smoothing=smoothing
    )


def encoded() -> Encoded:
    torch.manual_seed(1)
    return Encoded(torch.randn(3, 10, 4), LENGTHS)


def batch(alignment: Tensor | None = ALIGNED) -> Batch:
    return Batch(["a", "b", "c"], torch.zeros(3, 9), LENGTHS, LABELS, LABEL_LENGTHS, alignment)


def test_labels_stand_in_the_chunks_of_their_last_frames() -> None:
    found = ChunkSymbols.of(ALIGNED, LENGTHS, 3, V, repeats=True)
    rows = [
        row[:size] for row, size in zip(found.targets.tolist(), found.lengths.tolist(), strict=True)
    ]
    assert rows == [[0, V, V, 1, 2, V, V], [0, V, 0, V], [V, V, V]]
    assert found.inputs[:, 0].tolist() == [V, V, V]
    assert torch.equal(found.inputs[:, 1:], found.targets[:, :-1])
    assert found.chunks[0].tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert found.chunks[1, :4].tolist() == [0, 0, 1, 1]
    seen = found.frames(LENGTHS, 10, 3)
    assert bool(seen.any(2).all()), "padding attends to something, too"
    assert seen[0, 3].nonzero()[:, 0].tolist() == [6, 7, 8]
    assert seen[0, 6].nonzero()[:, 0].tolist() == [9]
    assert seen[1, 3].nonzero()[:, 0].tolist() == [3]


@DECODERS
def test_loss_is_what_search_says_of_the_same_symbols(decoder: Factory[LabelDecoder]) -> None:
    head, seen = make(decoder).eval(), encoded()
    found = ChunkSymbols.of(ALIGNED, LENGTHS, 3, V, repeats=True)
    with torch.no_grad():
        losses = head.loss(seen, batch())["loss"].per_utterance
        assert losses is not None
        for row, size in enumerate(found.lengths.tolist()):
            alone = Encoded(seen.frames[row, None, : LENGTHS[row]], LENGTHS[row, None])
            scorer = head.symbol_scorer(alone)
            state, chunk, total = scorer.initial_state(), 0, 0.0
            state = scorer.enter(state, torch.tensor([V]), 0)
            for symbol in found.targets[row, :size].tolist():
                total -= float(scorer.score(state, chunk)[0, symbol])
                if symbol != V:
                    state = scorer.advance(state, torch.tensor([symbol]))
                    continue
                chunk += 1
                if chunk < int(scorer.lengths):
                    state = scorer.enter(state, torch.tensor([V]), chunk)
            assert chunk == int(scorer.lengths)
            assert float(losses[row]) == pytest.approx(total, rel=1e-4)


@DECODERS
def test_a_wide_beam_sums_over_all_ways_to_put_labels_into_chunks(
    decoder: Factory[LabelDecoder],
) -> None:
    head = make(decoder).eval()
    heads: dict[str, Any] = {"transducer": head}
    seen = Encoded(encoded().frames[1, None, :4], LENGTHS[1, None])
    with torch.no_grad():
        (found,) = TransducerSearch(400, recombination="none", max_symbols=2).over(heads).run(seen)
        strings = [h for h in found if len(h.labels) <= 2]
        assert len(strings) == 1 + V + V**2
        for hypothesis in strings[:8]:
            expected = brute_force(head.symbol_scorer(seen), hypothesis.labels)
            assert hypothesis.score == pytest.approx(expected, rel=1e-4)


def brute_force(scorer: Any, labels: list[int]) -> float:
    """Returns the log of the sum over all ways through chunks."""

    def after(state: Any, chunk: int, rest: list[int]) -> Tensor:
        inside = scorer.enter(state, torch.tensor([V]), chunk)
        ways, passed = [], torch.zeros(())
        for taken in range(len(rest) + 1):
            scores = scorer.score(inside, chunk)[0]
            ended = passed + scores[V]
            if chunk + 1 < int(scorer.lengths):
                ways.append(ended + after(inside, chunk + 1, rest[taken:]))
                scorer.memory = scorer._memory(chunk)
            elif taken == len(rest):
                ways.append(ended)
            if taken < len(rest):
                passed = passed + scores[rest[taken]]
                inside = scorer.advance(inside, torch.tensor([rest[taken]]))
        return torch.stack(ways).logsumexp(0)

    return float(after(scorer.initial_state(), 0, labels))


@DECODERS
def test_what_was_learnt_by_heart_is_found(decoder: Factory[LabelDecoder]) -> None:
    head, seen = make(decoder, smoothing=0.05).train(), encoded()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        head.loss(seen, batch())["loss"].total.backward()
        optimizer.step()
    heads: dict[str, Any] = {"transducer": head.eval()}
    with torch.no_grad():
        found = TransducerSearch(4).over(heads).run(seen)
        errors = head.loss(seen, batch())["errors"]
    assert [n_best[0].labels for n_best in found] == [[0, 1, 2], [0, 0], []]
    assert (float(errors.total), errors.count) == (0.0, 7 + 4 + 3)


def test_utterances_without_their_alignment_add_nothing_and_are_counted() -> None:
    head, seen = make(LSTM).train(), encoded()
    wrong = ALIGNED.clone()
    wrong[1, 1] = 0  # one label instead of two
    report = head.loss(seen, batch(wrong))
    assert (float(report["infeasible"].total), report["infeasible"].count) == (1.0, 3)
    assert report["loss"].count == 7 + 3
    assert report["loss"].per_utterance is not None
    assert float(report["loss"].per_utterance[1]) == 0.0
    with pytest.raises(UserError, match="aligned_by"):
        head.loss(seen, batch(None))


def test_sizes_of_chunks_must_be_known() -> None:
    for size, said in ((None, "no chunks"), (0, "at least 1")):
        with pytest.raises(ValueError, match=said):
            ChunkedAttentionHead(TwoBlocks(), VOCABULARY, 1.0, LSTM, chunk_frames=size)
