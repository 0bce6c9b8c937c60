#!/usr/bin/env python3
"""Records the n-best lists of every search on random numbers, for `compare.py`.

python tools/comparison/searches.py --out before.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.heads.transducer.parts import JoinerSettings
from asrkit.models.interfaces import Encoded, Encoder
from asrkit.models.predictors.lstm import LstmPredictor
from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.interfaces import FrameScores, Hypothesis, LabelScorer, State
from asrkit.scorers.lists import ListsScorer
from asrkit.scorers.sources import Source
from asrkit.search.combination import CombinationSearch
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch
from asrkit.search.forced import forced
from asrkit.search.graph import GraphSearch
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.rover import RoverSearch
from asrkit.search.search import Search
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.transducer import TransducerSearch
from asrkit.search.two_pass import TwoPassSearch
from asrkit.text.vocabulary import Vocabulary
from asrkit.wfst.decoding_graph import ctc_graph
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.lexicon import Pronunciation
from asrkit.wfst.token_passing import search_graph

VOCABULARY = Vocabulary([f"l{number}" for number in range(11)])
V, DIM, LENGTHS = len(VOCABULARY), 6, torch.tensor([40, 13, 27, 1, 33])
WEIGHTS = {
    "positive": {"ctc": 0.4, "attention": 0.6, "lm": 0.3},
    "negative": {"ctc": 0.4, "attention": 0.6, "lm": -0.2},
    "alone": {"ctc": 1.0},
}


class Bigrams:
    """Scores a label by the one before; a source and its scorer, with tables (B, V + 1, V + 1)."""

    partial = False

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables

    def label_scorer(self, encoded: object) -> LabelScorer:
        """Returns itself."""
        return self

    def initial_state(self) -> State:
        """Returns the states (B,): begin of sentence."""
        return torch.full((len(self.tables),), V)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates."""
        rows = torch.arange(len(self.tables)).repeat_interleave(len(state) // len(self.tables))
        scores = self.tables[rows, state]
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the labels (H,)."""
        return labels

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the tables of some of the utterances."""
        return Bigrams(self.tables[utterances])


class Ctc:
    """Scores frames by log-probabilities (B, T, V + 1), and labels by prefixes."""

    def __init__(self, log_probs: Tensor) -> None:
        self.scores = FrameScores(log_probs, LENGTHS)

    def frame_scores(self, encoded: object) -> FrameScores:
        """Returns the scores."""
        return self.scores

    def label_scorer(self, encoded: object) -> LabelScorer:
        """Returns prefix scores."""
        return CtcPrefixScorer(self.scores.log_probs, LENGTHS)


class Nothing(Encoder):
    """An encoder that passes frames on."""

    dim, num_layers = DIM, 1

    def __init__(self) -> None:
        super().__init__()
        self.taps = []

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the same lengths (B,)."""
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Returns the same frames (B, T, D)."""
        return Encoded(features, lengths)


def heads_of(topology: Topology) -> dict[str, object]:
    """Returns random sources of scores, from the random state as it is."""
    frames = 2 * torch.randn(len(LENGTHS), int(LENGTHS.max()), V + 1)
    tables = (1.2 * torch.randn(2, len(LENGTHS), V + 1, V + 1)).log_softmax(3)
    predictor = partial(LstmPredictor, embedding_dim=5, hidden_dim=7)
    head = TransducerHead(Nothing(), VOCABULARY, 1.0, topology, predictor, JoinerSettings(8))
    for parameter in head.parameters():
        parameter.data *= 3
    bigrams = {"attention": Bigrams(tables[0]), "lm": Bigrams(tables[1])}
    own = {"ctc": Ctc(frames.log_softmax(2)), "transducer": head.eval(), **bigrams}
    # Last, so that no other number moves.
    return {**own, "graph": words_of_labels(), "one": drawn_lists(), "two": drawn_lists()}


def drawn_lists() -> Source:
    """Returns lists of hypotheses by the numbers of utterances."""
    lists = [
        [Hypothesis(torch.randint(0, V, (3,)).tolist(), -float(place)) for place in range(4)]
        for _ in LENGTHS
    ]
    return Source("lists", lists=lambda utterance: lists[int(utterance)])


def words_of_labels() -> Source:
    """Returns a graph of words that are one or two labels, by a bigram model."""
    words = {f"w{number}": [number, *([number // 2] if number % 2 else [])] for number in range(V)}
    names, places = [*words], torch.randint(0, V, (40, 5)).tolist()
    ngrams = estimate(
        index_sentences([[names[place] for place in row] for row in places]), 2
    ).ngrams
    said = [
        Pronunciation(word, tuple(label + 1 for label in labels))
        for word, labels in enumerate(words.values(), start=1)
    ]
    graph = search_graph(ctc_graph(ngrams, names, said, V))
    symbols = [*VOCABULARY.symbols, "<blank>"]
    return Source("a graph", graph=DecodingGraph(graph, names, [*words.values()], symbols))


def all_searches() -> Iterator[tuple[str, Search]]:
    """Yields searches with their names."""
    yield "ctc_greedy", CtcGreedySearch()
    for beam in (4.0, 12.0):
        yield f"graph {beam}", GraphSearch({"ctc": 1.0, "graph": 0.5}, beam=beam)
    for beam, (name, weights) in product((1, 4, 9), WEIGHTS.items()):
        given = f"beam {beam} {name}"
        options: list[dict[str, Any]]
        options = [{}, {"length_norm": 1.0}, {"length_reward": 0.3}, {"pre_beam": 4}, {"nbest": 4}]
        for some in options:
            yield f"label_sync {given} {some}", LabelSyncSearch(weights, beam, **some)
        for some in _options(recombination=("max", "sum", "none"), scale_blank=(False, True)):
            yield f"time_sync {given} {some}", TimeSyncSearch(weights, beam, **some)
        exact = {"merge": "string_and_symbol", "emission_term": True, "eos": False}
        yield f"time_sync {given} {exact}", TimeSyncSearch(weights, beam, **exact)  # type: ignore[arg-type]
        for some in _options(symbols=(None, 4), eos=(False, True)):
            yield f"ctc_prefix_beam {given} {some}", CtcPrefixBeamSearch(beam, weights, **some)
        moved = {"transducer" if key == "ctc" else key: x for key, x in weights.items()}
        for some in _options(recombination=("max", "sum", "none"), max_symbols=(1, 3)):
            yield f"transducer {given} {some}", TransducerSearch(beam, moved, **some)
        first = CtcPrefixBeamSearch(beam, weights)
        yield f"two_pass {given}", TwoPassSearch(first, {"lm": 0.4, "ctc": 0.6}, 0.3, 1.0)
    found = {"one": ListsScorer(0.6, "first"), "two": ListsScorer(0.4, "second")}
    yield "combination", CombinationSearch({**found, "lm": 0.3})
    yield "rover", RoverSearch(found, sharpness=0.5)


def _options(**choices: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(choices, some, strict=True)) for some in product(*choices.values())]


def recorded(seed: int) -> dict[str, Any]:
    """Returns the lists of all searches; and of what can be held to references, what it says."""
    found: dict[str, Any] = {}
    torch.manual_seed(seed)
    topology = (RnaTopology(), RnntTopology(), CtcTopology())[seed % 3]
    heads = heads_of(topology)
    encoded = Encoded(torch.randn(len(LENGTHS), int(LENGTHS.max()), DIM), LENGTHS)
    references = [torch.randint(0, V, (int(x) // 4,)).tolist() for x in LENGTHS]
    names = [str(number) for number in range(len(LENGTHS))]
    for name, search in all_searches():
        loaded = search.over(heads, VOCABULARY)
        found[f"seed {seed} {name}"] = [[_plain(h) for h in n] for n in loaded.run(encoded, names)]
        if search.without_pruning(0) is not None:
            held = forced(loaded, encoded, references, V)
            found[f"seed {seed} held {name}"] = [h and _plain(h) for h in held]
    return found


def _plain(hypothesis: Hypothesis) -> Mapping[str, Any]:
    return {"labels": hypothesis.labels, "score": hypothesis.score, "scores": hypothesis.scores}


@click.command()
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--seeds", default=3, show_default=True, help="How many sets of random numbers.")
def main(out: Path, seeds: int) -> None:
    """Writes the record."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        parts = [recorded(seed) for seed in range(seeds)]
    record = {"specs": {}, "searches": {k: v for part in parts for k, v in part.items()}}
    out.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
