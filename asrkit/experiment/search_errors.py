"""`asrkit search-errors`: how often a search missed a better scoring reference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from asrkit.config.build import build
from asrkit.data.batch import Batch
from asrkit.data.decode_batches import decode_batches
from asrkit.data.open_sets import OpenSets
from asrkit.data.transcripts import with_transcripts
from asrkit.errors import UserError
from asrkit.experiment.decode import searched_with
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import available_device
from asrkit.experiment.system import System
from asrkit.files import write_text
from asrkit.run_files import NbestLine, SearchError, SearchErrors, WrittenHypothesis, read_nbest
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.search.forced import forced
from asrkit.search.search import LoadedSearch, Search

TOLERANCE = 1e-3
"""Scores that differ by less are the same: sums in another order."""


def search_errors(
    run: Path, data: Path, set_name: str, search: str, overrides: Sequence[str] = ()
) -> SearchErrors:
    """Scores the references by the search that decoded a set; writes search_errors.json there.

    A search error is a sentence whose labels differ from the reference's although the search
    itself scores the reference higher; all other wrong sentences are errors of the model.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: A set that was decoded.
        search: By which search.
        overrides: Such as data.decoding.max_seconds=600.

    Returns:
        Number of sentences, wrong ones, search errors, their rate in percent, references that no
        path reaches or no labels spell, and of each search error both texts and scores.

    Raises:
        UserError: If the set was not decoded with this search.

    Source: as in rwth-i6/i6_experiments, users/gaudino/experiments/rf_conformer_att_2023.
    """
    place = RunFolder(run).decoded_set(search, set_name)
    folder = place.folder
    sets = OpenSets()
    node, checkpoint = searched_with(folder, sets)
    device = available_device()
    system = System(run, data, checkpoint, device, overrides)
    chosen = build(Search, node, f"decoding.{search}")
    if not chosen.can_be_forced:
        raise UserError(f"search {search!r} ({node['type']}) can't be forced to given sentences")
    loaded = system.prepare(chosen)
    lines = {line.id: line for line in read_nbest(place.nbest)}
    found: list[SearchError] = []
    wrong = unreachable = 0
    cuts = with_transcripts(sets.open(data, [set_name]), set_name, "search errors")
    for batch, infos in decode_batches(cuts, system.speech):
        missing = [info.id for info in infos if info.id not in lines]
        if missing:
            raise UserError(f"{place.nbest} has no utterance {missing[0]}: decode the set again")
        references = [system.tokenizer.encode_if_known(info.reference) for info in infos]
        scored = _forced(system, loaded, batch, [labels or [] for labels in references])
        for info, reference, forced_one in zip(infos, references, scored, strict=True):
            best = _best(lines[info.id], place)
            wrong += best.labels != reference
            unreachable += reference is None or forced_one is None
            if reference is None or forced_one is None or best.labels == reference:
                continue
            if forced_one.score > best.score + TOLERANCE:
                scores = forced_one.score, best.score
                found.append(SearchError(info.id, info.reference, best.text, *scores))
    total = len(cuts)
    report = SearchErrors(
        sentences=total,
        wrong=wrong,
        search_errors=len(found),
        rate=round(100 * len(found) / max(total, 1), 2),
        unreachable_references=unreachable,
        list=found,
    )
    record_command(run)
    text = json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n"
    write_text(place.search_errors, text)
    return report


def _best(line: NbestLine, place: DecodedSet) -> WrittenHypothesis:
    if not line.hypotheses:
        raise UserError(f"{place.nbest} has no hypothesis of {line.id}: decode it again")
    return line.hypotheses[0]


def _forced(system: System, search: LoadedSearch, batch: Batch, references: list[list[int]]) -> Any:
    with torch.inference_mode():
        encoded = system.encode(
            batch.signal.to(system.device), batch.signal_lengths.to(system.device)
        )
        return forced(search, encoded, references, len(system.vocabulary))
