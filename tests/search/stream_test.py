"""Searches over frames that get them in chunks, against searches over whole utterances."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.heads.transducer.criteria import GivenAlignment
from asrkit.models.heads.transducer.fast_rnns import FastLstm
from asrkit.models.heads.transducer.frame_contexts import WindowAttention
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.heads.transducer.parts import HeadInput, JoinerSettings
from asrkit.models.interfaces import Encoded
from asrkit.models.predictors.lstm import LstmPredictor
from asrkit.scorers.ctc import FrameChanges, changed
from asrkit.scorers.interfaces import FrameScores, Hypothesis
from asrkit.scorers.length_reward import length_reward
from asrkit.scorers.sources import Source
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch
from asrkit.search.frame_search import FrameSearch
from asrkit.search.search import LoadedSearch
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.transducer import TransducerSearch
from tests.models.heads.ctc_test import VOCABULARY, TwoBlocks
from tests.search.search_test import BigramScorer
from tests.search.transducer_test import Symbols

V, LENGTHS = len(VOCABULARY), torch.tensor([17, 5, 11, 1])
CHUNKED: Any = {"labels": frozenset({"labels"}), "frames": frozenset({"frames"})}
WEIGHTS = {"ctc": 0.5, "lm": 0.4, "second": -0.1, "length": 0.2}


@dataclass
class Heard:
    """Frames (B, T, ...) of any kind, whole or a chunk of them."""

    frames: Tensor
    lengths: Tensor

    def chunks(self, seed: int) -> list[Heard]:
        """Returns them cut at random places; some chunks have no frame."""
        chosen = random.Random(seed)
        edges = sorted(chosen.randint(0, self.frames.shape[1]) for _ in range(6))
        edges = [0, *edges, self.frames.shape[1]]
        return [
            Heard(self.frames[:, a:b], (self.lengths - a).clamp(min=0, max=b - a))
            for a, b in zip(edges, edges[1:], strict=False)
        ]


def bigrams(seed: int) -> Source:
    torch.manual_seed(seed)
    tables = (1.5 * torch.randn(len(LENGTHS), V + 1, V + 1)).log_softmax(2)
    return Source("bigrams", lambda _: BigramScorer(tables), by_chunk=CHUNKED["labels"])


def sources() -> dict[str, object]:
    def frames(heard: Heard) -> FrameScores:
        return FrameScores(heard.frames, heard.lengths)

    ctc = Source("frames", frames=frames, by_chunk=CHUNKED["frames"])
    return {"ctc": ctc, "lm": bigrams(5), "second": bigrams(6), "length": length_reward(V)}


def posteriors(seed: int) -> Heard:
    torch.manual_seed(seed)
    scores = 2 * torch.randn(len(LENGTHS), int(LENGTHS.max()), V + 1)
    return Heard(scores.log_softmax(2), LENGTHS)


def streamed(loaded: LoadedSearch, chunks: list[Any]) -> list[list[Hypothesis]]:
    search: Any = loaded.search
    assert isinstance(search, FrameSearch)
    search.refuse_whole(loaded.parts)
    state = search.begin(loaded.parts, chunks[0])
    for chunk in chunks:
        search.step(state, chunk)
    return search.end(state)


SEARCHES = [
    CtcGreedySearch(),
    TimeSyncSearch(WEIGHTS, 4),
    TimeSyncSearch(WEIGHTS, 5, "ctc", "sum", "string_and_symbol", True, True, length_norm=0.5),
    TimeSyncSearch({"ctc": 1.0}, 3, recombination="none"),
    CtcPrefixBeamSearch(4, WEIGHTS),
    CtcPrefixBeamSearch(6, symbols=3),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_any_size_give_the_lists_of_whole_utterances(
    search: FrameSearch[Any], seed: int
) -> None:
    heard, loaded = posteriors(seed), search.over(sources())
    whole = loaded.run(heard)
    assert all(n_best[0].scores for n_best in whole)
    assert streamed(loaded, heard.chunks(seed)) == whole
    frame_by_frame = [
        Heard(heard.frames[:, t : t + 1], (t < LENGTHS).long()) for t in range(int(LENGTHS.max()))
    ]
    assert streamed(loaded, frame_by_frame) == whole


@pytest.mark.parametrize("topology", [RnaTopology(), RnntTopology(), CtcTopology()])
@pytest.mark.parametrize("weights", [{}, {"lm": 0.4, "length": 0.2}], ids=["alone", "lm"])
def test_transducers_go_on_from_chunk_to_chunk(
    topology: Topology, weights: dict[str, float]
) -> None:
    def symbols(heard: Heard) -> Symbols:
        return Symbols(heard.frames, heard.lengths, topology)

    source = Source("symbols", symbols=symbols, by_chunk=frozenset({"symbols"}))
    search = TransducerSearch(5, {"transducer": 1.0, **weights}, max_symbols=2)
    loaded = search.over({**sources(), "transducer": source})
    for seed in range(3):
        torch.manual_seed(seed)
        tables = 2 * torch.randn(len(LENGTHS), int(LENGTHS.max()), 5, V + 1)
        heard = Heard(tables.log_softmax(3), LENGTHS)
        assert streamed(loaded, heard.chunks(seed)) == loaded.run(heard)


def transducer(**parts: Any) -> TransducerHead:
    torch.manual_seed(0)
    predictor = partial(LstmPredictor, embedding_dim=5, hidden_dim=7)
    joiner = JoinerSettings(8)
    made = TransducerHead(TwoBlocks(), VOCABULARY, 1.0, RnaTopology(), predictor, joiner, **parts)
    for parameter in made.parameters():
        parameter.data *= 3.0
    return made.eval()


@pytest.mark.parametrize("aligned", [False, True], ids=["labels", "alignments"])
def test_a_head_scores_chunks_as_it_scores_whole_utterances(aligned: bool) -> None:
    fast = partial(FastLstm, hidden_dim=6, embedding_dim=3)
    head = transducer(fast=fast, criterion=GivenAlignment()) if aligned else transducer()
    loaded = TransducerSearch(4, {"transducer": 1.0, "lm": 0.3}).over(
        {**sources(), "transducer": head}
    )
    torch.manual_seed(2)
    heard = Heard(torch.randn(len(LENGTHS), int(LENGTHS.max()), 4), LENGTHS)
    with torch.inference_mode():
        whole = loaded.run(Encoded(heard.frames, LENGTHS))
        chunks = [Encoded(chunk.frames, chunk.lengths) for chunk in heard.chunks(1)]
        found = streamed(loaded, chunks)
    for one, other in zip(found, whole, strict=True):
        assert [h.labels for h in one] == [h.labels for h in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-4)


def test_what_needs_whole_utterances_is_refused_in_a_stream() -> None:
    head = CtcHead(TwoBlocks(), VOCABULARY, 1.0)
    window = partial(WindowAttention, window=3, key_dim=4)
    looking = transducer(input=HeadInput(context=window))
    collapsing = changed(Source.of(head), FrameChanges(blank_collapse=0.9))
    cases: list[tuple[FrameSearch[Any], dict[str, object], str]] = [
        (TimeSyncSearch({"ctc": 1.0, "prefix": 0.5}, 2), {"ctc": head, "prefix": head}, "prefix"),
        (CtcPrefixBeamSearch(2), {"ctc": collapsing}, "ctc"),
        (
            TransducerSearch(2),
            {"transducer": looking},
            "transducer",
        ),
    ]
    for search, given, culprit in cases:
        with pytest.raises(UserError, match=f"scorer '{culprit}': .* needs whole utterances"):
            search.refuse_whole(search.over(given).parts)
    for changes in (FrameChanges(), FrameChanges(torch.zeros(V + 1), 0.5)):
        loaded = CtcGreedySearch().over({"ctc": changed(Source.of(head), changes)})
        CtcGreedySearch().refuse_whole(loaded.parts)
