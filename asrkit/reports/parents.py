"""What a run changes against its parent: in its spec, and in the errors of the sets of both."""

from __future__ import annotations

from pathlib import Path

from asrkit.config.explain import difference
from asrkit.config.yaml_loader import load
from asrkit.errors import UserError
from asrkit.files import matching
from asrkit.reports import markdown
from asrkit.reports.run_texts import NONE, read_json
from asrkit.run_folder import RunFolder
from asrkit.scoring.error_tables import Counted, read_counts
from asrkit.scoring.significance import Comparison, compared

COUNTED = {"segments.tsv": 3, "utterances.tsv": 2}
"""Files of counts, and the column where these begin; segments where a set was scored as Hub5."""


def against_parent(run: Path) -> str:
    """Returns what a run changes against the parent that its spec names; nothing without one.

    Raises:
        UserError: If the parent is missing, or was scored on other utterances or references.
    """
    resolved = load(RunFolder(run).spec).tree
    if not resolved.get("parent"):
        return ""
    if not isinstance(resolved["parent"], str):
        raise UserError(f"{run}/resolved.yaml: parent: expected the name of a run folder")
    parent = run.parent / resolved["parent"]
    if not (RunFolder(parent).spec).is_file():
        raise UserError(
            f"{run}: the spec names parent {resolved['parent']!r}, but {parent} is no run folder"
        )
    other = load(RunFolder(parent).spec).tree
    changes = [
        line for line in difference(other, resolved) if not line.startswith(("parent", "format"))
    ]
    shown = "\n".join(changes) or "(nothing)"
    name = markdown.escaped(parent.name)
    header = ["set", "search", "WER", f"WER of {name}", "difference"]
    header += ["P(noise), utterances", "P(noise), speakers"]
    table = markdown.table(header, _rows(run, parent))
    return f"Changes against {name}:\n\n{markdown.fenced(shown)}\n{table}"


def _rows(run: Path, parent: Path) -> list[list[str]]:
    rows = []
    for folder in (path.parent for path in matching(run, "decode/*/*/score.json")):
        theirs = parent / folder.relative_to(run)
        cells = [markdown.escaped(part) for part in (folder.name, folder.parent.name)]
        cells.append(f"{read_json(folder / 'score.json')['wer']:.2f}")
        name = next(name for name in COUNTED if (folder / name).is_file())
        if not (theirs / name).is_file():
            rows.append([*cells, "not scored", "", "", ""])
            continue
        by_utterances, by_speakers = compare_scored(folder, theirs, name)
        cells += [f"{by_utterances.other:.2f}", f"{by_utterances.difference:+.2f}"]
        cells.append(f"{by_utterances.probability_of_noise:.3f}")
        rows.append([*cells, f"{by_speakers.probability_of_noise:.3f}" if by_speakers else NONE])
    return rows


def compare_scored(
    folder: Path, other_folder: Path, name: str
) -> tuple[Comparison, Comparison | None]:
    """Compares errors as they were counted when the sets were scored, whatever the rules.

    Args:
        folder: Of a scored set.
        other_folder: Of another run for the same set.
        name: The file of counts, one of COUNTED.

    Returns:
        With utterances and with speakers as units; None where no two speakers are known.

    Raises:
        UserError: If both were scored on other utterances or references.
    """
    path, other = folder / name, other_folder / name
    ours, theirs = (read_counts(each, COUNTED[name]) for each in (path, other))
    if ours.keys() != theirs.keys():
        different = sorted(ours.keys() ^ theirs.keys())
        raise UserError(
            f"{path} and {other} have other {path.stem}, such as {different[0]}: they can't be "
            "compared; decode and score both runs on the same set"
        )
    _require_same_references(folder, other_folder, ours, theirs)
    pairs = [counted.errors for counted in ours.values()], [theirs[id].errors for id in ours]
    speakers = [counted.speaker for counted in ours.values()]
    known = len(set(speakers)) > 1 and all(speakers)
    return compared(*pairs), compared(*pairs, speakers) if known else None


def _require_same_references(
    folder: Path, other: Path, ours: dict[str, Counted], theirs: dict[str, Counted]
) -> None:
    """Raises if two sets were scored against other references.

    Scores that don't say what they were scored against must have the same numbers of words.
    """
    digests = [read_json(each / "score.json").get("references") for each in (folder, other)]
    if all(digests):
        same = digests[0] == digests[1]
    else:
        same = all(ours[name].errors.words == theirs[name].errors.words for name in ours)
    if not same:
        raise UserError(
            f"{folder} and {other} were scored against other references: they can't be compared; "
            "score both against the same"
        )
