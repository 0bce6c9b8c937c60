"""`asrkit graph`: makes a decoding graph of words, for the CTC heads of a run."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.experiment.runs import open_run
from asrkit.lm.arpa import read_arpa
from asrkit.lm.entropy_pruning import pruned
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ngrams
from asrkit.text.outputs import Outputs
from asrkit.wfst.ctc_lexicon import spellings
from asrkit.wfst.decoding_graph import ctc_graph, memory_needed
from asrkit.wfst.graph_file import DecodingGraph, write_graph
from asrkit.wfst.lexicon import Pronunciation
from asrkit.wfst.token_passing import search_graph

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphReport:
    """A new graph.

    Args:
        path: Its file.
        words: How many words it can write.
        states: Of the graph.
        arcs: Of the graph.
        ngrams: Of the language model, after pruning.
        left_out: Words of the language model that can't be recognised.
    """

    path: Path
    words: int
    states: int
    arcs: int
    ngrams: int
    left_out: list[str]

    def lines(self) -> list[str]:
        """Returns the report as text."""
        text = (
            f"{self.path}: {self.words:,} words, {self.ngrams:,} n-grams, {self.states:,} states, "
            f"{self.arcs:,} arcs"
        )
        if not self.left_out:
            return [text]
        shown = ", ".join(self.left_out[:5])
        return [
            text,
            f"{len(self.left_out):,} words of the language model can't be recognised, as the "
            f"tokenizer lacks some of their characters, such as {shown}",
        ]


def graph(run: Path, data: Path, arpa: str, name: str, entropy: float = 0.0) -> GraphReport:
    """Writes DATA/lm/NAME.graph.safetensors, from CTC labels of a run to words of an n-gram model.

    Args:
        run: Run folder, whose tokenizer spells the words.
        data: Data folder, with the n-gram model.
        arpa: Name of the n-gram model, of words.
        name: Of the graph.
        entropy: N-grams whose absence raises perplexity by less than this share are left out.

    Raises:
        UserError: If something is missing, does not fit, or memory is too small.
    """
    tokenizer = open_run(run, data).tokenizer
    ngrams = read_arpa(DataFolder(data).ngram(arpa))
    if entropy:
        ngrams = pruned(ngrams, entropy)
    words = [word for word in ngrams.symbols if word not in (BEGIN, END, UNKNOWN)]
    spelled = spellings(words, tokenizer)
    require_memory(ngrams)
    said = [
        Pronunciation(word, tuple(label + 1 for label in labels))
        for word, labels in enumerate(spelled.labels, start=1)
    ]
    made = ctc_graph(ngrams, spelled.words, said, len(tokenizer.vocabulary))
    walked = search_graph(made)
    symbols = [*Outputs.labels_with_blank(tokenizer.vocabulary).names]
    path = DataFolder(data).graph(name)
    write_graph(path, DecodingGraph(walked, spelled.words, spelled.labels, symbols))
    count = sum(map(len, ngrams.tables))
    sizes = len(spelled.words), made.num_states, made.num_arcs, count
    return GraphReport(path, *sizes, spelled.left_out)


def require_memory(ngrams: Ngrams) -> None:
    """Says how much memory a graph will take to build, and checks that there is as much.

    Raises:
        UserError: If the machine has less.
    """
    needed = memory_needed(ngrams)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = sum(map(len, ngrams.tables))
    log.info("%s n-grams: building takes about %.1f GB", f"{count:,}", needed / 1e9)
    if needed > there:
        raise UserError(
            f"a graph of {count:,} n-grams takes about {needed / 1e9:.1f} GB to build, and this "
            f"machine has {there / 1e9:.1f} GB: prune the model (--entropy 1e-8, or more)"
        )
