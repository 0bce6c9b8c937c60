"""When the words of hypotheses are said, by an alignment with the head that scored the frames."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asrkit.config.build import build
from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.decoding.lattices import WordSpans
from asrkit.decoding.notes import read_note
from asrkit.errors import UserError
from asrkit.experiment.align import Aligner, aligner_of
from asrkit.experiment.align_phones import scores_phones
from asrkit.experiment.align_states import StateOptions
from asrkit.experiment.system import System
from asrkit.run_folder import RunFolder
from asrkit.scorers.graph import GraphScorer
from asrkit.scorers.lists import ListsScorer
from asrkit.scorers.states import StatesScorer
from asrkit.search.graph import GraphSearch
from asrkit.search.search import Search

log = logging.getLogger(__name__)


class HypothesisTimes:
    """Aligns hypotheses.

    Args:
        aligner: Of transcripts, in whose place hypotheses are put.
    """

    def __init__(self, aligner: Aligner) -> None:
        self.aligner = aligner

    def __call__(self, batch: Batch, infos: Sequence[UtteranceInfo]) -> WordSpans:
        """Returns begin and end, in seconds, of the words of utterances that have an alignment.

        Args:
            batch: Utterances.
            infos: Of the same, whose references are the hypotheses.
        """
        seconds = self.aligner.frame_seconds(batch.signal.shape[1])
        return {
            one.id: [(w.begin * seconds, w.end * seconds) for w in one.words or one.times]
            for one in self.aligner(batch, [*infos])
        }


def hypothesis_times(system: System, search: Search) -> HypothesisTimes | None:
    """Returns what aligns the hypotheses of a search that gives lattices.

    None where there are no lattices, or the frames are scored by another run or a head that can't
    align words.
    """
    graph = _with_lattices(search)
    if graph is None:
        return None
    entry = graph.entries[graph.frames]
    head, options = entry.own_head(graph.frames), StateOptions()
    if head is None:
        return None
    model, run = system.encoders[0], RunFolder(system.run)
    if isinstance(entry, StatesScorer):
        options = StateOptions(lexicon=_lexicon_of(graph, system))
        if not scores_phones(model.named_heads().get(head)):
            prior = None if entry.prior is None else system.find(entry.prior)
            options = replace(options, prior=prior, prior_scale=entry.prior_scale)
    try:
        aligner = aligner_of(run, system.tokenizer, model, head, system.checkpoint, options)
    except UserError as error:
        log.warning("words of lattices have the times when they were written: %s", error)
        return None
    return HypothesisTimes(aligner)


def _lexicon_of(search: GraphSearch, system: System) -> Path | None:
    """Returns the pronunciations of the words of a search's graph; None if older ones lack them."""
    entry = search.entries[search.graph]
    assert isinstance(entry, GraphScorer)
    path = RunFolder(system.run).graph_lexicon(system.find(entry.graph))
    return path if path.is_file() else None


def _with_lattices(search: Search) -> GraphSearch | None:
    """Returns the search, itself or one inside it, that gives lattices."""
    if isinstance(search, GraphSearch) and search.gives_lattices:
        return search
    found = (_with_lattices(inner) for inner in search.inner.values())
    return next((one for one in found if one is not None), None)


def origin(search: Search, run: Path, set_name: str) -> Search:
    """Returns the search itself, or one of the same run that gave lattices, whose lists it joins.

    That one knows how words are pronounced which the training lacks.

    Args:
        search: That decoded a set.
        run: Folder of the run that it decoded.
        set_name: The set.
    """
    waiting, seen = [search], set[str]()
    for one in waiting:  # which grows
        if _with_lattices(one) is not None:
            return one
        for entry in one.entries.values():
            if isinstance(entry, ListsScorer) and entry.run is None and entry.search not in seen:
                seen.add(entry.search)
                note = RunFolder(run).decoded_set(entry.search, set_name).search
                if note.is_file():
                    waiting.append(build(Search, read_note(note).search, str(note)))
    return search
