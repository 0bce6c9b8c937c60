"""`asrkit words` and `asrkit calibrate`: recognised words, when they are said, and how certain."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from asrkit.config.build import build
from asrkit.data.decode_batches import decode_batches
from asrkit.data.open_sets import OpenSets
from asrkit.decoding.lattices import WordSpans
from asrkit.errors import UserError
from asrkit.experiment.align import aligner_of
from asrkit.experiment.align_states import StateOptions
from asrkit.experiment.decode import searched_with
from asrkit.experiment.hypothesis_times import HypothesisTimes, hypothesis_times, origin
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import available_device
from asrkit.experiment.system import System
from asrkit.experiment.word_evidence import Evidence, WordEvidence, joined
from asrkit.files import json_line, write_lines, write_text
from asrkit.run_files import BelievedLine, BelievedWord, NbestLine, read_nbest
from asrkit.run_folder import RunFolder
from asrkit.scoring.believed_words import confidences_of, read_believed, read_calibration
from asrkit.scoring.confidence import (
    Bin,
    Calibration,
    calibrated,
    normalised_cross_entropy,
    plot_reliability,
    reliability,
)
from asrkit.scoring.nist.ctm import CtmWord, write_ctm
from asrkit.scoring.wer import transcribed
from asrkit.search.search import Search

log = logging.getLogger(__name__)
Spans = Sequence[tuple[float, float]]
CHANNEL = "1"
SHARPNESS = (1.0, 2.0, 0.5, 0.25, 0.125, 0.0625)
"""Factors of scores that calibration tries: their scale is that of the search."""


@dataclass(frozen=True)
class WordsReport:
    """What `asrkit words` has written.

    Args:
        ctm: Words with times and confidences.
        words: How many.
        utterances: Of how many utterances.
        spread: Utterances whose words could not be aligned: they are at even distances.
        calibration: What confidences were calibrated by, if anything.
        uncalibrated: Utterances that it is not for: it learnt from lattices and they have n-best
            lists alone, or the other way round.
        nce: Normalised cross entropy of the confidences, if texts are known.
    """

    ctm: Path
    words: int
    utterances: int
    spread: int
    calibration: Path | None
    uncalibrated: int
    nce: float | None


@dataclass(frozen=True)
class CalibrationReport:
    """What was learnt of the confidences of a search.

    Args:
        path: The file, which `asrkit words` reads.
        picture: Share of right words by confidence.
        calibration: What it holds.
        bins: What the picture shows.
    """

    path: Path
    picture: Path
    calibration: Calibration
    bins: list[Bin]


def words(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    head: str | None = None,
    sharpness: float | None = None,
    overrides: Sequence[str] = (),
) -> WordsReport:
    """Writes the words of a decoded set, with times and confidences, next to its n-best lists.

    Times are those of an alignment of the best hypothesis by a head of the model. Confidences are
    posterior probabilities, from lattices where the search wrote some, else from n-best lists, and
    calibrated if `calibrate` has seen the search before.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: A set that was decoded.
        search: By which search.
        head: That aligns; the usual one where null.
        sharpness: Factor of the scores where they become probabilities; that of the calibration
            where null, else 1.
        overrides: Such as data.decoding.max_seconds=600.

    Raises:
        UserError: If the set was not decoded, or no head can align.
    """
    place, sets = RunFolder(run).decoded_set(search, set_name), OpenSets()
    node, checkpoint = searched_with(place.folder, sets)
    system = System(run, data, checkpoint, available_device(), overrides)
    lines = {line.id: line for line in read_nbest(place.nbest)}
    spans = _spans(system, build(Search, node, f"decoding.{search}"), data, set_name, lines, head)
    known = RunFolder(run).calibration(search)
    calibration = read_calibration(known) if known.is_file() else None
    if sharpness is None:
        sharpness = 1.0 if calibration is None else calibration.sharpness
    evidence = WordEvidence(place, node, lines)(sharpness)
    found = [
        _believed(line, spans.get(name, []), evidence[name], calibration)
        for name, line in lines.items()
    ]
    record_command(run)
    write_lines(place.believed_words, (json_line(asdict(one)) for one in found))
    write_ctm(place.words, _ctm(found))
    told, right = confidences_of(found, lines)
    return WordsReport(
        place.words,
        sum(len(one.words) for one in found),
        len(found),
        sum(not one.aligned for one in found),
        None if calibration is None else known,
        sum(not _is_for(calibration, one) for one in evidence.values()),
        normalised_cross_entropy(told, right),
    )


def calibrate(run: Path, set_name: str, search: str) -> CalibrationReport:
    """Learns from a dev set how far confidences of a search can be believed.

    Args:
        run: Folder of a trained run.
        set_name: A set whose texts are known, and whose words `asrkit words` has written.
        search: That decoded it.

    Raises:
        UserError: If there are no words.
    """
    place = RunFolder(run).decoded_set(search, set_name)
    believed = read_believed(place)
    node, _ = searched_with(place.folder, OpenSets())
    lines = {line.id: line for line in transcribed(read_nbest(place.nbest))}
    evidence = WordEvidence(place, node, lines)
    names, lattices = evidence.alike([one.id for one in believed if one.id in lines])
    if len(names) < len(lines):
        kind, left = "lattices" if lattices else "n-best lists alone", len(lines) - len(names)
        log.warning("%d of %d utterances are left out: others have %s", left, len(lines), kind)
    _, right = confidences_of([one for one in believed if one.id in set(names)], lines)
    if not right:
        raise UserError(f"{place.believed_words} has no words of known texts to learn from")
    if len(set(right)) < 2:
        log.warning(
            "%s of the %d words of %s are right: a larger set would tell more of confidences",
            "all" if right[0] else "none", len(right), place.believed_words,
        )  # fmt: skip
    learnt, best = _likeliest(evidence, names, right, set_name)
    learnt = replace(learnt, lattices=lattices)
    told = learnt(best.posteriors, best.features)
    path = RunFolder(run).calibration(search)
    picture, bins = path.with_suffix(".png"), reliability(told, right)
    record_command(run)
    write_text(path, json.dumps(asdict(learnt), indent=2) + "\n")
    plot_reliability(bins, f"{run.name}, {search}, {set_name}", picture)
    return CalibrationReport(path, picture, learnt, bins)


def _likeliest(
    evidence: WordEvidence, names: Sequence[str], right: Sequence[bool], set_name: str
) -> tuple[Calibration, Evidence]:
    """Returns the calibration of the sharpness with which it tells most, and what it then knows."""
    tried = []
    for sharpness in SHARPNESS:
        found = evidence(sharpness)
        known = joined([found[name] for name in names])
        learnt = calibrated(known.posteriors, right, set_name, sharpness, known.features)
        tried.append((learnt, known))
    return max(tried, key=lambda one: -np.inf if one[0].nce is None else one[0].nce)


def _spans(
    system: System,
    search: Search,
    data: Path,
    set_name: str,
    lines: Mapping[str, NbestLine],
    head: str | None,
) -> WordSpans:
    """Returns when the words of hypotheses are said, of those that can be aligned."""
    align = None
    if head is None:
        align = hypothesis_times(system, origin(search, system.run, set_name))
    if align is None:
        run, model = RunFolder(system.run), system.encoders[0]
        options = StateOptions()
        align = HypothesisTimes(
            aligner_of(run, system.tokenizer, model, head, system.checkpoint, options)
        )
    found: WordSpans = {}
    for batch, infos in decode_batches(OpenSets().open(data, [set_name]), system.speech):
        said = [replace(info, reference=lines[info.id].text) for info in infos if info.id in lines]
        if len(said) == len(infos) and any(info.reference for info in said):
            found.update(align(batch, said))
    return found


def _believed(
    line: NbestLine, spans: Spans, evidence: Evidence, calibration: Calibration | None
) -> BelievedLine:
    """Returns the words of an utterance; at even distances where they could not be aligned."""
    aligned = len(spans) == len(line.words)
    if not aligned:
        shift = line.seconds / max(len(line.words), 1)
        spans = [(shift * place, shift * (place + 1)) for place in range(len(line.words))]
    told = shares = evidence.posteriors
    if calibration is not None and _is_for(calibration, evidence):
        told = calibration(shares, evidence.features)
    return BelievedLine(
        line.id,
        aligned,
        [
            BelievedWord(word, round(begin, 3), round(end - begin, 3), round(share, 4), round(c, 4))
            for word, (begin, end), share, c in zip(line.words, spans, shares, told, strict=True)
        ],
    )


def _is_for(calibration: Calibration | None, evidence: Evidence) -> bool:
    """Returns whether confidences become those of a calibration, or there is none."""
    return calibration is None or calibration.lattices in (None, evidence.lattices)


def _ctm(found: Sequence[BelievedLine]) -> Iterator[CtmWord]:
    for one in found:
        for w in one.words:
            yield CtmWord(one.id, CHANNEL, w.begin, w.duration, w.word, w.confidence)
