"""`asrkit graph`: makes a graph of words, for a run's CTC head, its tied states or its phones."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.experiment.runs import TrainedRun, open_run
from asrkit.files import copy_file
from asrkit.hmm.hmm_folder import digest_of, read_hmm
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.lm.arpa import read_arpa
from asrkit.lm.entropy_pruning import pruned
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ngrams
from asrkit.memory import free_memory, most_memory
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import Outputs
from asrkit.text.tokenizers import Tokenizer
from asrkit.wfst.ctc_lexicon import Spellings, spellings
from asrkit.wfst.decoding_graph import ctc_graph, memory_needed, seconds_needed
from asrkit.wfst.grammar_scores import grammar_of
from asrkit.wfst.graph_file import DecodingGraph, write_graph
from asrkit.wfst.hybrid import hybrid_graph
from asrkit.wfst.lexicon import Pronunciation
from asrkit.wfst.phone_graph import phone_graph
from asrkit.wfst.token_passing import search_graph

log = logging.getLogger(__name__)

TransitionSource = Literal["learnt", "topology"]
"""Where costs of transitions come from."""


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
        lack: What these lack.
    """

    path: Path
    words: int
    states: int
    arcs: int
    ngrams: int
    left_out: list[str]
    lack: str = "the tokenizer lacks some of their characters"

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
            f"{len(self.left_out):,} words of the language model can't be recognised, as "
            f"{self.lack}, such as {shown}",
        ]


def graph(
    run: Path,
    data: Path,
    arpa: str,
    name: str,
    entropy: float = 0.0,
    lexicon: str | None = None,
    transitions: TransitionSource = "learnt",
) -> GraphReport:
    """Writes a graph that reads a run's symbols and writes the words of an n-gram model.

    That of tied states, or of phones, is RUN/graph/NAME.safetensors, next to the n-gram model, that
    of CTC labels, which other runs can use, DATA/lm/NAME.graph.safetensors. A graph tells its
    language model's scores apart, so that a second pass can put the whole model in the place of a
    pruned one.

    Args:
        run: Run folder, whose tokenizer spells the words.
        data: Data folder, with the n-gram model.
        arpa: Name of the n-gram model, of words.
        name: Of the graph.
        entropy: N-grams whose absence raises perplexity by less than this share are left out.
        lexicon: For tied states and phones, name of the lexicon DATA/lexicon/NAME.txt; if null,
            that which the mixtures were trained with.
        transitions: For tied states, whether staying and going on costs what was learnt, or what
            the topology says.

    Raises:
        UserError: If something is missing, does not fit, or memory is too small.
    """
    opened, hmm = open_run(run, data), RunFolder(run).hmm
    if lexicon is not None and not hmm.is_dir():
        raise UserError(f"{run} has no tied states ({hmm} is missing), so it needs no --lexicon")
    ngrams = read_arpa(DataFolder(data).ngram(arpa))
    if entropy:
        ngrams = pruned(ngrams, entropy)
    words = [word for word in ngrams.symbols if word not in (BEGIN, END, UNKNOWN)]
    spelled = spellings(words, opened.tokenizer)
    require_memory(ngrams)
    if hmm.is_dir():
        known = None if lexicon is None else read_lexicon(DataFolder(data).lexicon(lexicon))
        source = DataFolder(data).ngram(arpa)
        return _of_pronunciations(opened, name, source, ngrams, spelled, known, transitions)
    return _of_labels(DataFolder(data).graph(name), ngrams, spelled, opened.tokenizer)


def _of_pronunciations(
    run: TrainedRun,
    name: str,
    arpa: Path,
    ngrams: Ngrams,
    spelled: Spellings,
    lexicon: Lexicon | None,
    transitions: TransitionSource,
) -> GraphReport:
    """Writes a graph of tied states, or of phones if the run's model scores these."""
    folder, path = run.folder.hmm, run.folder.graph(name)
    hmm, phones = read_hmm(folder), _phones_of(run)
    known = (hmm.lexicon if lexicon is None else lexicon).restricted(spelled.words)
    if phones is None:
        learnt = hmm.transitions if transitions == "learnt" else None
        made = hybrid_graph(ngrams, known, hmm.tree, hmm.topology, hmm.silence, learnt=learnt)
        symbols, tree = Outputs.states(hmm.num_states).names, digest_of(folder)
    else:
        made, tree = phone_graph(ngrams, known, phones.names[: phones.blank]), ""
        symbols = phones.names
    labels = dict(zip(spelled.words, spelled.labels, strict=True))
    written = [labels[word] for word in made.words]
    walked, spoken = search_graph(made.graph), grammar_of(ngrams, made.words)
    # Not before the graph is made: an older one keeps what belongs to it.
    copy_file(arpa, run.folder.graph_ngram(name))
    known.write(run.folder.graph_lexicon(path))
    write_graph(path, DecodingGraph(walked, made.words, written, [*symbols], tree, spoken))
    sizes = len(made.words), made.graph.num_states, made.graph.num_arcs
    lack = "the lexicon or the tokenizer lacks them"
    return GraphReport(path, *sizes, sum(map(len, ngrams.tables)), made.left_out, lack)


def _phones_of(run: TrainedRun) -> Outputs | None:
    """Returns the phones and blank that a run's model scores; None if it scores tied states."""
    with torch.device("meta"):
        model = run.experiment.model(vocabulary=run.vocabulary)
    given = model.given_targets
    return given.outputs if given is not None and given.rate == "sequence" else None


def _of_labels(path: Path, ngrams: Ngrams, spelled: Spellings, tokenizer: Tokenizer) -> GraphReport:
    said = [
        Pronunciation(word, tuple(label + 1 for label in labels))
        for word, labels in enumerate(spelled.labels, start=1)
    ]
    made = ctc_graph(ngrams, spelled.words, said, len(tokenizer.vocabulary))
    walked = search_graph(made)
    symbols = [*Outputs.labels_with_blank(tokenizer.vocabulary).names]
    spoken = grammar_of(ngrams, spelled.words)
    texts = spelled.words, spelled.labels, symbols
    write_graph(path, DecodingGraph(walked, *texts, grammar=spoken))
    count = sum(map(len, ngrams.tables))
    sizes = len(spelled.words), made.num_states, made.num_arcs, count
    return GraphReport(path, *sizes, spelled.left_out)


def require_memory(ngrams: Ngrams) -> None:
    """Says how much memory a graph will take to build, and checks that there is as much.

    Raises:
        UserError: If this process may not use so much.
    """
    needed, most, free = memory_needed(ngrams), most_memory(), free_memory()
    count = sum(map(len, ngrams.tables))
    log.info(
        "%s n-grams: building takes about %.1f GB and %.0f s",
        f"{count:,}", needed / 1e9, seconds_needed(ngrams),
    )  # fmt: skip
    if needed > most:
        raise UserError(
            f"a graph of {count:,} n-grams takes about {needed / 1e9:.1f} GB to build, and there "
            f"are {most / 1e9:.1f} GB for this process: prune the model (--entropy 1e-8, or more)"
        )
    if free is not None and needed > free:
        log.warning(
            "other processes have left %.1f GB: if that stays so, the system will end this one; "
            "--entropy 1e-8, or more, prunes the model",
            free / 1e9,
        )
