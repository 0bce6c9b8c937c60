"""Decoding graphs as files: arrays, the words that are written, and the symbols that are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.wfst.grammar_scores import GrammarScores
from asrkit.wfst.graph import EPSILON, Graph
from asrkit.wfst.token_passing import SearchGraph

FORMAT = "1"
MOST_WORDS = 100
"""So many are looked at to tell whether a graph is of another tokenizer."""
_ARRAYS = ("finals", "begins", "inputs", "outputs", "costs", "targets")
_GRAMMAR = tuple(name for name in _ARRAYS if name != "outputs")


@dataclass(frozen=True)
class DecodingGraph:
    """A decoding graph of a system.

    Args:
        graph: Reads symbols (symbol s is label s + 1) and writes words (word w is label w + 1);
            in the order of the search.
        words: All words.
        spellings: The labels of each word in the vocabulary of the system.
        symbols: Names of the symbols that it reads, one for each column of scores.
        tree: Digest of the tree whose tied states it reads; empty where it reads labels.
        grammar: G, its arcs in the order of labels; files of older versions lack it.
    """

    graph: SearchGraph
    words: list[str]
    spellings: list[list[int]]
    symbols: list[str]
    tree: str = ""
    grammar: Graph | None = None

    def grammar_scores(self) -> GrammarScores | None:
        """Returns what the language model says of words, if it is known."""
        return None if self.grammar is None else GrammarScores(self.grammar, len(self.words) + 1)


def write_graph(path: Path, made: DecodingGraph) -> None:
    """Writes a file of arrays (safetensors), wholly or not at all."""
    graph = made.graph.graph
    arrays = {name: np.ascontiguousarray(getattr(graph, name)) for name in _ARRAYS}
    arrays["reading"] = made.graph.reading
    if made.grammar is not None:
        arrays |= {f"grammar_{name}": getattr(made.grammar, name) for name in _GRAMMAR}
    sizes = np.array([len(labels) for labels in made.spellings], np.int64)
    labels = np.array([label for labels in made.spellings for label in labels], np.int64)
    texts: dict[str, Any] = {"words": made.words, "symbols": made.symbols}
    texts |= {"start": graph.start, "tree": made.tree}
    if made.grammar is not None:
        texts["grammar_start"] = made.grammar.start
    metadata = {"format": FORMAT, "graph": json.dumps(texts)}
    with replaced(path) as partial:
        save_file({**arrays, "spelling_sizes": sizes, "spellings": labels}, partial, metadata)


def read_graph(path: Path) -> DecodingGraph:
    """Reads a graph.

    Raises:
        UserError: If the file is missing, damaged, or something else.
    """
    if not path.is_file():
        raise UserError(f"there is no graph {path}; make it with `asrkit graph`")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or "graph" not in metadata:
                raise UserError(f"{path} is not a graph of `asrkit graph`; make it again")
            texts = json.loads(metadata["graph"])
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
            reading = file.get_tensor("reading")
            sizes, labels = file.get_tensor("spelling_sizes"), file.get_tensor("spellings")
            names = _GRAMMAR if "grammar_start" in texts else ()
            grammar = {name: file.get_tensor(f"grammar_{name}") for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}); make it again") from error
    spellings = [part.tolist() for part in np.split(labels, np.cumsum(sizes)[:-1])]
    graph = SearchGraph(Graph(int(texts["start"]), **arrays), reading)
    tree = texts.get("tree", "")
    return DecodingGraph(
        graph, texts["words"], spellings, texts["symbols"], tree, _grammar(texts, grammar)
    )


def _grammar(texts: dict[str, Any], arrays: dict[str, Any]) -> Graph | None:
    """Returns G, which writes what it reads, but for back-off arcs."""
    if not arrays:
        return None
    written = np.where(arrays["inputs"] == len(texts["words"]) + 1, EPSILON, arrays["inputs"])
    return Graph(int(texts["grammar_start"]), outputs=written, **arrays)


def require_spellings(
    graph: DecodingGraph, spelled: Callable[[str], list[int] | None], path: Path
) -> None:
    """Checks that a graph's words are spelled as a run's tokenizer spells them.

    Args:
        graph: The graph, of whose words some are looked at.
        spelled: Returns the labels of a word; None if there are none.
        path: Of the graph.

    Raises:
        UserError: If one is spelled otherwise.
    """
    step = max(len(graph.words) // MOST_WORDS, 1)
    for word, labels in zip(graph.words[::step], graph.spellings[::step], strict=True):
        own = spelled(word)
        if own != labels:
            raise UserError(
                f"{path} spells {word!r} by the labels {labels}, and the run's tokenizer by "
                f"{own or 'none'}: it was made with another tokenizer; make it again with "
                "`asrkit graph`"
            )


def require_labels(graph: DecodingGraph, labels: list[str], path: Path) -> None:
    """Checks that a graph reads the labels of a vocabulary.

    Raises:
        UserError: If it reads others.
    """
    if graph.symbols[: len(labels)] != labels:
        raise UserError(
            f"{path} was made for other labels: it reads {len(graph.symbols)} symbols, such as "
            f"{', '.join(graph.symbols[:3])}; the run has {len(labels)} labels, such as "
            f"{', '.join(labels[:3])}; make it again with `asrkit graph`"
        )
