"""What confidences of words are worth, for the sections of RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asrkit.files import copy_file, matching
from asrkit.reports.markdown import escaped, picture
from asrkit.run_files import read_nbest
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.scoring.believed_words import confidences_of, read_believed, read_calibration
from asrkit.scoring.confidence import normalised_cross_entropy


def confidences_section(run: Path, out: Path) -> str:
    """Returns what is known of the confidences of a run's searches; nothing if nobody has asked.

    Args:
        run: Run folder.
        out: The Markdown file; pictures go to a folder `results` next to it.
    """
    told = [*_told(run)]
    if not told:
        return ""
    head = "Confidences of words, normalised cross entropy (0: worth nothing, 1: all is known):"
    return "\n".join([head, "", *told, "", *_pictures(run, out)])


def _told(run: Path) -> Iterator[str]:
    folder = RunFolder(run)
    for place in folder.scored_sets():
        if not place.believed_words.is_file():
            continue
        search, set_name = place.folder.parent.name, place.folder.name
        found = _value(place)
        known = folder.calibration(search)
        by = f"calibrated on {read_calibration(known).set}" if known.is_file() else "not calibrated"
        yield f"- {escaped(search)} on {escaped(set_name)}: {found}, {escaped(by)}"


def _value(place: DecodedSet) -> str:
    lines = {line.id: line for line in read_nbest(place.nbest)}
    found = normalised_cross_entropy(*confidences_of(read_believed(place), lines))
    return "all or no words are right" if found is None else f"{found:.3f}"


def _pictures(run: Path, out: Path) -> Iterator[str]:
    folder = RunFolder(run)
    for path in matching(folder.calibration("any").parent, "*.png"):
        copy = out.parent / "results" / f"{folder.name}-{path.stem}-confidences.png"
        copy_file(path, copy)
        what = f"share of right words by confidence, {folder.name}, {path.stem}"
        yield picture(what, f"results/{copy.name}")
