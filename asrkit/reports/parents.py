"""What a run changes against its parent: in its spec, and in the errors of the sets of both."""

from __future__ import annotations

from pathlib import Path

from asrkit.config.yaml_loader import load
from asrkit.errors import UserError
from asrkit.experiment.compare import diff_runs
from asrkit.reports import markdown
from asrkit.reports.run_texts import NONE
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.scoring.error_tables import Counted, read_counts
from asrkit.scoring.score import read_score
from asrkit.scoring.significance import Comparison, compared


def against_parent(run: Path) -> str:
    """Returns what a run changes against the parent that its spec names; nothing without one.

    Raises:
        UserError: If the parent is missing, or was scored on other utterances or references.
    """
    resolved = load(RunFolder(run).spec).tree
    if not resolved.get("parent"):
        return ""
    if not isinstance(resolved["parent"], str):
        raise UserError(f"{RunFolder(run).spec}: parent: expected the name of a run folder")
    parent = run.parent / resolved["parent"]
    if not (RunFolder(parent).spec).is_file():
        raise UserError(
            f"{run}: the spec names parent {resolved['parent']!r}, but {parent} is not a run folder"
        )
    found = diff_runs(parent, run).changes
    changes = [line for line in found if not line.startswith(("parent", "format"))]
    shown = "\n".join(changes) or "(nothing)"
    name = markdown.escaped(parent.name)
    header = ["set", "search", "WER", f"WER of {name}", "difference"]
    header += ["P(noise), utterances", "P(noise), speakers"]
    table = markdown.table(header, _rows(run, parent))
    return f"Changes against {name}:\n\n{markdown.fenced(shown)}\n{table}"


def _rows(run: Path, parent: Path) -> list[list[str]]:
    rows = []
    for ours in RunFolder(run).scored_sets():
        search, set_name = ours.folder.parent.name, ours.folder.name
        theirs = RunFolder(parent).decoded_set(search, set_name)
        cells = [markdown.escaped(set_name), markdown.escaped(search)]
        cells.append(f"{read_score(ours.score).wer:.2f}")
        if not any(path.is_file() for path in (theirs.utterances, theirs.segments)):
            rows.append([*cells, "not scored", "", "", ""])
            continue
        by_utterances, by_speakers = compare_scored(ours, theirs)
        cells += [f"{by_utterances.other:.2f}", f"{by_utterances.difference:+.2f}"]
        cells.append(f"{by_utterances.probability_of_noise:.3f}")
        rows.append([*cells, f"{by_speakers.probability_of_noise:.3f}" if by_speakers else NONE])
    return rows


def compare_scored(ours: DecodedSet, theirs: DecodedSet) -> tuple[Comparison, Comparison | None]:
    """Compares errors as they were counted when the sets were scored, whatever the rules.

    Args:
        ours: A scored set.
        theirs: The same set of another run.

    Returns:
        With utterances and with speakers as units; None where no two speakers are known.

    Raises:
        UserError: If both were scored on other utterances or references.
    """
    (path, counts), (other, their_counts) = _counts(ours), _counts(theirs)
    if counts.keys() != their_counts.keys():
        different = sorted(counts.keys() ^ their_counts.keys())
        raise UserError(
            f"{path} and {other} have other {path.stem}, such as {different[0]}: they can't be "
            "compared; decode and score both runs on the same set"
        )
    _require_same_references(ours, theirs, counts, their_counts)
    pairs = [each.errors for each in counts.values()], [their_counts[id].errors for id in counts]
    speakers = [each.speaker for each in counts.values()]
    known = len(set(speakers)) > 1 and all(speakers)
    return compared(*pairs), compared(*pairs, speakers) if known else None


def _counts(place: DecodedSet) -> tuple[Path, dict[str, Counted]]:
    """Returns the errors by utterance, and their file: older Hub5 scores have one of segments."""
    if place.segments.is_file():
        return place.segments, read_counts(place.segments, 3)
    return place.utterances, read_counts(place.utterances, 2)


def _require_same_references(
    place: DecodedSet, other: DecodedSet, ours: dict[str, Counted], theirs: dict[str, Counted]
) -> None:
    """Raises if two sets were scored against other references.

    Scores that don't say what they were scored against must have the same numbers of words.
    """
    digests = [read_score(each.score).references for each in (place, other)]
    if all(digests):
        same = digests[0] == digests[1]
    else:
        same = all(ours[name].errors.words == theirs[name].errors.words for name in ours)
    if not same:
        raise UserError(
            f"{place.folder} and {other.folder} were scored against other references: they "
            "can't be compared; score both against the same"
        )
