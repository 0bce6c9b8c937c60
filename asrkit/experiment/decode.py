"""`asrkit decode`, `score`, `align` and `average`: what is done with a trained run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.config.build import build
from asrkit.config.yaml_loader import Spec
from asrkit.data.decode_batches import decode_batches
from asrkit.data.open_sets import OpenSets
from asrkit.decoding.decode import decode as decode_set
from asrkit.decoding.notes import read_note, with_defaults
from asrkit.errors import UserError
from asrkit.experiment.decode_settings import split
from asrkit.experiment.decode_spec import chosen_search
from asrkit.experiment.decoded_sets import require_whole, set_facts
from asrkit.experiment.hypothesis_times import hypothesis_times
from asrkit.experiment.lattice_lists import has_lattices
from asrkit.experiment.prior import hash_of
from asrkit.experiment.record import record_command, this_command
from asrkit.experiment.references import warn_of_references
from asrkit.experiment.spec import available_device
from asrkit.experiment.system import System
from asrkit.owners import owned
from asrkit.run_files import SearchNote, Summary, read_nbest, read_run_file
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.scoring.believed_words import times_of
from asrkit.scoring.edits import Aligner, WordAligner
from asrkit.scoring.nist.ctm import write_ctm, write_trn
from asrkit.scoring.nist.hub5 import Hub5Scorer
from asrkit.scoring.nist.sclite import StmScorer
from asrkit.scoring.significance import UTTERANCES
from asrkit.scoring.wer import Score, score_run
from asrkit.search.search import LoadedSearch, Search
from asrkit.training.averaging import Averaged, average_run


def decode(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    checkpoint: str = "average",
    spec: Path | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
) -> Summary:
    """Decodes one set with one search; writes RUN/decode/SEARCH/SET/nbest.jsonl.

    Args:
        run: Folder of a trained run.
        data: Data folder with the set's manifest.
        set_name: The set.
        search: Name of a search below `decoding:`.
        checkpoint: "average", "best", "last" or a path.
        spec: YAML file whose `decoding:` replaces that of the run.
        overrides: `key=value` changes below `decoding.SEARCH`; those that begin with `data.` change
            how long utterances and batches may be.
        name: What the search is called in the run; its own name if not given.

    Returns:
        The summary that is also written to summary.json.

    Raises:
        UserError: If run, set, search or checkpoint don't exist or don't fit together.
    """
    device = available_device()
    of_data, of_search = split(overrides)
    system = System(run, data, checkpoint, device, of_data)
    found = chosen_search(Spec(system.resolved), search, spec, of_search)
    chosen = build(Search, found.spec, found.path)
    loaded = system.prepare(chosen)
    record_command(run)
    out = RunFolder(run).decoded_set(name or search, set_name).folder
    return decode_into(out, system, found.node, loaded, data, set_name, OpenSets())


def decode_into(
    out: Path,
    system: System,
    node: Any,
    search: LoadedSearch,
    data: Path,
    set_name: str,
    sets: OpenSets,
    max_hypotheses: int = 10,
    keep_finished: bool = False,
) -> Summary:
    """Decodes one set with a prepared system; records next to the result how it was found.

    Args:
        out: Folder of the result.
        system: What the search scores with.
        node: The spec node that the search was built from.
        search: The search that the system prepared.
        data: Data folder.
        set_name: The set.
        sets: Those that the command has opened.
        max_hypotheses: Most hypotheses that are written per utterance; no two have the same words.
        keep_finished: Nothing is decoded again where the same was decoded before, as by a tuning
            that continues.

    Returns:
        The summary that is also written to summary.json.
    """
    cuts = sets.open(data, [set_name])
    warn_of_references(set_name, cuts, system.tokenizer)
    weights = [(str(path), hash_of(path)) for path in system.files()]
    facts = set_facts(data, set_name, cuts)
    others = [weights, set_name, facts.manifest, max_hypotheses]
    fingerprint = _fingerprint(node, others)
    note = SearchNote(node, str(system.checkpoint), this_command(), fingerprint)
    with owned(out, f"decoding of {set_name}"):
        if keep_finished and _is_finished(out, node, others, search.search.gives_lattices):
            return read_run_file(DecodedSet(out).summary, Summary)
        return decode_set(
            model=system,
            batches=decode_batches(cuts, system.speech),
            tokenizer=system.tokenizer,
            search=search,
            out=out,
            device=system.device,
            total=len(cuts),
            fingerprint=fingerprint,
            max_hypotheses=max_hypotheses,
            facts=facts,
            note=note,
            aligned=hypothesis_times(system, search.search),
        )


def _fingerprint(node: Any, others: Sequence[Any]) -> str:
    """Returns a digest of a search's spec node and of what else its lists depend on."""
    return hashlib.sha256(json.dumps([node, *others], sort_keys=True).encode()).hexdigest()


def _is_finished(out: Path, node: Any, others: Sequence[Any], with_lattices: bool) -> bool:
    """Returns whether a folder has a whole result that depends on the same."""
    place = DecodedSet(out)
    there = place.nbest, place.summary, place.search
    if place.partial.exists() or not all(path.is_file() for path in there):
        return False
    written = read_run_file(place.search, SearchNote)
    if written.fingerprint != _fingerprint(written.search, others):
        return False
    same = with_defaults(written, place.search).search == node
    return same and (not with_lattices or has_lattices(out))


def searched_with(folder: Path, sets: OpenSets) -> tuple[Any, str]:
    """Returns the search's spec node and the checkpoint that a result was found with.

    Raises:
        UserError: If there is no result.
    """
    place = DecodedSet(folder)
    if place.nbest.is_file():
        require_whole(folder, sets)
    if not place.search.is_file() or not place.nbest.is_file():
        raise UserError(f"{folder} has no decoded set; run `asrkit decode` first")
    note = read_note(place.search)
    if note.checkpoint is None:
        raise UserError(
            f"{place.search} does not say which checkpoint decoded: decode the set again"
        )
    return note.search, note.checkpoint


def score(
    run: Path,
    set_name: str,
    search: str,
    against: Path | None = None,
    stm: Path | None = None,
    glm: Path | None = None,
    drop_hesitations: bool = False,
    units: str = UTTERANCES,
) -> Score:
    """Scores a decoded set; writes score.json and the aligned texts next to its n-best lists.

    Args:
        run: Folder of a trained run.
        set_name: The set.
        search: Name of the search that decoded it.
        against: Another run to compare with.
        stm: References to score against as NIST's sclite does, instead of the manifest's texts;
            the hypotheses are written next to the scores as CTM and TRN files.
        glm: NIST's mapping rules: the set is scored as in the Hub5 and RT evaluations.
        drop_hesitations: Whether hypotheses are scored without hesitations and partial words.
        units: Of the comparison: "utterances" or "speakers".

    Raises:
        UserError: If the set was not decoded with this search, or an option lacks another.
    """
    if glm is not None and stm is None:
        raise UserError("--glm maps the references of an STM file: give --stm as well")
    if drop_hesitations and glm is None:
        raise UserError("--drop-hesitations needs --stm and --glm, which define hesitations")
    place = RunFolder(run).decoded_set(search, set_name)
    if not place.nbest.is_file() and not place.partial.is_file():
        raise UserError(
            f"{place.nbest} is missing; first `asrkit decode --run {run} --set {set_name} "
            f"--search {search} --data DIR`"
        )
    sets = OpenSets()
    coverage = require_whole(place.folder, sets)
    parent = None
    if against is not None:
        other = RunFolder(against).decoded_set(search, set_name)
        require_whole(other.folder, sets)
        parent = other.nbest
    record_command(run)
    aligner = _aligner(place, stm, glm, drop_hesitations)
    return score_run(place.nbest, place.folder, parent, aligner, units, coverage)


def _aligner(
    place: DecodedSet, stm: Path | None, glm: Path | None, drop_hesitations: bool
) -> Aligner:
    if stm is None:
        return WordAligner()
    if glm is not None:
        return Hub5Scorer(stm, glm, drop_hesitations)
    scorer = StmScorer(stm, times=times_of(place))
    lines = read_nbest(place.nbest)
    write_ctm(place.ctm, scorer.words(lines))
    write_trn(place.trn, ((line.id, line.text) for line in lines))
    return scorer


def average(run: Path, which: Averaged = Averaged()) -> Path:  # noqa: B008 - frozen
    """Averages the weights of several checkpoints into RUN/checkpoints/average.pt."""
    path = average_run(run, which)
    record_command(run)
    return path
