"""A table of models by searches: what each search finds with each model, and with which weights.

Models are run folders that have decoded the same sets, each with its own weights of scorers. The
first one is what the others are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import matching, write_text
from asrkit.reports.ablation.cells import NONE, searches_gains, searches_table
from asrkit.reports.ablation.numbers import Place, RowNumbers, Scored, corrected, rate_of
from asrkit.reports.commands import read_commands
from asrkit.reports.parts import Cells, Code, Heading, Paragraph, Part, as_markdown
from asrkit.reports.search_facts import (
    node_of,
    search_commands,
    tuned_weights,
    weights_text,
)
from asrkit.run_folder import RunFolder
from asrkit.scoring.error_tables import read_counts

FINAL = 0
"""The epoch of results whose weights are of no single one."""
EXPLAINED = (
    "A row is a model, a column a search; WER in percent, with the 95 % bootstrap interval over "
    "utterances. A star: it differs from {model} with the same search by more than the choice of "
    "utterances explains, by an exact two-sided sign-flip test over utterances, corrected for all "
    "models and searches of the table (Holm). The second table of each set has what each search "
    "differs from {search} with the same model; P(Holm) is corrected for all of its cells. Weights "
    "with a star were tuned on {dev}, so its WERs are optimistic."
)


def write_models_table(
    runs: Sequence[Path], dev: str, tests: Sequence[str], searches: Sequence[str], out: Path
) -> str:
    """Writes tables of models by searches, and the commands that made them.

    Args:
        runs: Run folders; the first is what others are compared with.
        dev: Set that weights were tuned on.
        tests: Sets that decided nothing.
        searches: Names of searches, in the order of columns; if empty, all that have decoded these
            sets in one of the runs. Not every run needs to have all.
        out: The Markdown file.

    Returns:
        The tables.

    Raises:
        UserError: If there is nothing to compare, runs have the same name, or they were scored on
            other utterances.
    """
    names = [RunFolder(run).name for run in runs]
    if len(set(names)) < len(names):
        raise UserError("two runs have the same name: models are told by the names of their runs")
    sets = list(dict.fromkeys([dev, *tests]))
    columns = list(searches) or _searches(runs, sets)
    if not columns:
        raise UserError(
            f"no search of {', '.join(names)} has decoded and scored all of {', '.join(sets)}"
        )
    rows = _rows(runs, sets, columns)
    said = EXPLAINED.format(model=names[0], search=columns[0], dev=dev)
    parts: list[Part] = [Heading(f"Searches of {', '.join(names)}", 2), Paragraph([said])]
    for name in sets:
        parts += [Heading(f"WER on {name}"), searches_table(rows, name, FINAL, columns)]
        parts += [searches_gains(rows, name, FINAL, columns)] if columns[1:] else []
    parts += [Heading("Weights"), _weights(runs, sets, columns)]
    parts.append(Code(_commands(runs, sets, columns)))
    text = as_markdown(parts)
    write_text(out, text)
    return text


def _rows(runs: Sequence[Path], sets: Sequence[str], searches: Sequence[str]) -> list[RowNumbers]:
    """Returns the error rates of all models that have some."""
    scored = {
        (run, Place(name, FINAL, search)): _scored(run, search, name)
        for run in runs
        for name in sets
        for search in searches
    }
    rows = []
    for run in runs:
        row = RowNumbers(RunFolder(run).name, "", [], 0)
        for (of, place), ours in scored.items():
            if of == run and ours:
                base = None if run == runs[0] else scored[runs[0], place]
                first = Place(place.set_name, FINAL, searches[0])
                row.rates[place] = rate_of(
                    ours, base, None if first == place else scored[run, first]
                )
        rows.append(row)
    return corrected(rows)


def _scored(run: Path, search: str, set_name: str) -> Scored:
    """Returns the errors of each utterance; none where the set was not scored."""
    decoded = RunFolder(run).decoded_set(search, set_name)
    if not decoded.score.is_file():
        return {}
    counts = read_counts(decoded.utterances, 2)
    return {0: {id: counted.errors for id, counted in counts.items()}}


def _searches(runs: Sequence[Path], sets: Sequence[str]) -> list[str]:
    """Returns the searches that have scored all sets in one of the runs."""
    found = [
        path.name
        for run in runs
        for path in matching(RunFolder(run).decoded, "*")
        if path.is_dir() and _has_scored(run, path.name, sets)
    ]
    return list(dict.fromkeys(found))


def _has_scored(run: Path, search: str, sets: Sequence[str]) -> bool:
    return all(RunFolder(run).decoded_set(search, name).score.is_file() for name in sets)


def _weights(runs: Sequence[Path], sets: Sequence[str], searches: Sequence[str]) -> Cells:
    """Returns the weights of each model's searches, a star at those that were tuned."""
    rows = []
    for run in runs:
        cells = [RunFolder(run).name]
        for search in searches:
            there = _has_scored(run, search, sets)
            node = node_of(run, search, sets) if there else None
            tuned = tuned_weights(run, search)
            cells.append(NONE if node is None else weights_text(node, tuned))
        rows.append(cells)
    return Cells(["model", *searches], rows)


def _commands(runs: Sequence[Path], sets: Sequence[str], searches: Sequence[str]) -> list[str]:
    """Returns the commands that made the numbers, model by model."""
    found = []
    for run in runs:
        known = read_commands(RunFolder(run).commands)
        for search in searches:
            if _has_scored(run, search, sets):
                found += search_commands(run, known, search, sets)
    return found
