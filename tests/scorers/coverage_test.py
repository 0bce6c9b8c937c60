"""Coverage of frames by attention, against enumeration of all label strings."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.models.decoders.interfaces import LabelDecoder
from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.decoders.transformer import TransformerDecoder
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded
from asrkit.nn.masking import length_mask
from asrkit.scorers.coverage import CoverageScorer
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import Hypothesis
from asrkit.scorers.loader import FoundHead
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.text.vocabulary import Vocabulary
from tests.models.heads.attention_test import TwoBlocks

V = 2
VOCABULARY = Vocabulary(["a", "b"])
LENGTHS = torch.tensor([4, 2, 3])
THRESHOLD = 0.6
DECODERS: dict[str, Any] = {
    "transformer": partial(TransformerDecoder, dim=8, num_layers=2, num_heads=2, hidden_dim=12),
    "lstm": partial(
        LstmDecoder, embedding_dim=6, hidden_dim=7, attention_dim=5, readout_dim=8, dropout=0.0
    ),
}


def make(kind: str) -> AttentionHead:
    torch.manual_seed(3)
    head = AttentionHead(TwoBlocks(), VOCABULARY, 1.0, DECODERS[kind]).eval()
    for parameter in head.parameters():  # attention that is not the same everywhere
        parameter.data *= 2.0
    return head.requires_grad_(False)


def encoded(rows: list[int], seed: int = 1) -> Encoded:
    torch.manual_seed(seed)
    frames = 2 * torch.randn(3, 4, 4)
    lengths = LENGTHS[rows]
    return Encoded(frames[rows][:, : int(lengths.max())], lengths)


class OneModel:
    """A loader of two heads."""

    vocabulary = VOCABULARY

    def __init__(self, kind: str) -> None:
        torch.manual_seed(4)
        ctc = CtcHead(TwoBlocks(), VOCABULARY, 1.0).eval().requires_grad_(False)
        self.heads: dict[str, Any] = {"attention": make(kind), "ctc": ctc}

    def head(self, name: str, run: Any, checkpoint: str) -> FoundHead:
        head = self.heads[name]
        return FoundHead(head, f"the {type(head).__name__}")


def search_with(
    weights: dict[str, float | Scorer], kind: str, seen: Encoded
) -> list[list[Hypothesis]]:
    search = LabelSyncSearch(weights, 100, patience=99, nbest=4)
    return search.load(OneModel(kind)).run(seen)  # type: ignore[arg-type]


def covered(decoder: LabelDecoder, frames: Tensor, labels: tuple[int, ...], end: bool) -> int:
    """Returns the frames of one utterance (1, T, D) that are attended to, all labels at once."""
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    inputs = torch.tensor([[V, *labels]])
    assert isinstance(decoder, (LstmDecoder, TransformerDecoder))
    weights = decoder.attention_weights(inputs, frames, mask)[0]  # (U + 1, T)
    return int((weights[: len(labels) + end].sum(0) > THRESHOLD).sum())


def score(head: AttentionHead, frames: Tensor, labels: tuple[int, ...]) -> float:
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    logits = head.decoder(torch.tensor([[V, *labels]]), frames, mask)[0].log_softmax(1)
    return float(logits.gather(1, torch.tensor([*labels, V])[:, None]).sum())


@pytest.mark.parametrize("eos", [True, False])
@pytest.mark.parametrize("weight", [0.7, -0.4])
@pytest.mark.parametrize("kind", list(DECODERS))
def test_n_best_lists_are_the_best_of_all_strings(kind: str, weight: float, eos: bool) -> None:
    seen, head = encoded([0, 1, 2]), make(kind)
    entry = CoverageScorer(weight, threshold=THRESHOLD, eos=eos)
    lists = search_with({"attention": 0.5, "coverage": entry}, kind, seen)
    counts = set()
    for row, n_best in enumerate(lists):
        length = int(LENGTHS[row])
        frames = seen.frames[row : row + 1, :length]
        exact = {}
        for size in range(length + 1):
            for labels in itertools.product(range(V), repeat=size):
                count = covered(head.decoder, frames, labels, eos)
                exact[labels] = 0.5 * score(head, frames, labels) + weight * count
                counts.add(count)
        best = sorted(exact.values(), reverse=True)[:4]
        assert [h.score for h in n_best] == pytest.approx(best, abs=1e-4)
        for hypothesis in n_best:
            labels = tuple(hypothesis.labels)
            assert hypothesis.score == pytest.approx(exact[labels], abs=1e-4)
            expected = covered(head.decoder, frames, labels, eos)
            assert hypothesis.scores["coverage"] == expected
    assert len(counts) > 2


@pytest.mark.parametrize("kind", list(DECODERS))
def test_attention_step_by_step_is_that_of_whole_strings(kind: str) -> None:
    head, seen = make(kind), encoded([0, 1, 2])
    labels = torch.tensor([[0, 1, 1], [1, 1, 0], [0, 0, 1]])
    inputs = torch.cat([torch.full((3, 1), V), labels], dim=1)
    whole = head.decoder.attention_weights(inputs, seen.frames, length_mask(LENGTHS, 4))
    attention = head.label_attention(seen)
    weights, state = attention.initial_state()
    for place in range(3):
        torch.testing.assert_close(weights, whole[:, place])
        weights, state = attention.advance(state, labels[:, place])
    torch.testing.assert_close(weights, whole[:, 3])
    assert float(weights[1, 2:].abs().max()) == 0.0


@pytest.mark.parametrize("kind", list(DECODERS))
def test_a_batch_finds_what_single_utterances_find(kind: str) -> None:
    weights: dict[str, float | Scorer] = {"attention": 0.6, "ctc": 0.4}
    weights["coverage"] = CoverageScorer(0.5, threshold=THRESHOLD)
    for search in (LabelSyncSearch(weights, 3), TimeSyncSearch(weights, 3)):
        loaded = search.load(OneModel(kind))  # type: ignore[arg-type]
        together = loaded.run(encoded([0, 1, 2]))
        for row in range(3):
            alone = loaded.run(encoded([row]))[0]
            assert [h.labels for h in alone] == [h.labels for h in together[row]]
            for one, other in zip(alone, together[row], strict=True):
                assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_a_weight_of_zero_is_an_absent_scorer() -> None:
    seen = encoded([0, 1, 2])
    plain_lists = search_with({"attention": 1.0}, "lstm", seen)
    assert search_with({"attention": 1.0, "coverage": CoverageScorer(0.0)}, "lstm", seen) == (
        plain_lists
    )


def test_what_has_no_attention_has_no_coverage() -> None:
    search = LabelSyncSearch({"coverage": CoverageScorer(1.0, head="ctc")}, 3)
    with pytest.raises(
        UserError, match="the CtcHead has no attention to frames; expected an attent"
    ):
        search.load(OneModel("lstm"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"threshold \(0\) must be positive"):
        CoverageScorer(1.0, threshold=0)
