"""Decode specs: the searches of a file, those of a table of rows and columns, and what is tuned.

A table writes down ways to search (rows) and what is changed in each of them (columns):

    table:
      rows:
        ctc: {type: label_sync, beam_size: 12, scorers: {ctc: 1.0}}
      columns:
        lm: {title: + LM, changes: {scorers: {lm: {type: language_model, weight: 0.4, run: lm}}}}

has the searches `ctc` and `ctc_lm`. A change is put over the row's search as a variant over its
base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.config.build import build, dry_build, filled
from asrkit.config.build import check as check_tree
from asrkit.config.key_paths import copy_of, is_below
from asrkit.config.merging import merge
from asrkit.config.problems import Problem
from asrkit.config.signatures import did_you_mean
from asrkit.config.yaml_loader import Spec, apply
from asrkit.errors import UserError
from asrkit.experiment.search_check import UnreadModels, misused_scorers
from asrkit.experiment.spec import load_spec
from asrkit.experiment.tuned_values import tunable
from asrkit.reports.models_table import write_models_table
from asrkit.reports.search_table import ALONE, write_search_table
from asrkit.search.search import Search
from asrkit.text.vocabulary import Vocabulary

TRAINED = {"model", "training", "data", "text"}
"""Keys of specs that say what is trained."""


@dataclass(frozen=True)
class Column:
    """What a column of a table changes in the search of each row.

    Args:
        changes: Put over the row's search.
        title: Above the column; its name if not given.
        rows: Other changes for some rows, by name; null where a row has no such search.
    """

    changes: dict[str, Any]
    title: str | None = None
    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Searches as rows and columns; that of a row without a column has the row's name.

    Args:
        rows: Ways to search.
        columns: What is changed in them; such a search is called ROW_COLUMN.
    """

    rows: dict[str, Search]
    columns: dict[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class DecodeSpec:
    """How trained models are decoded, and which numbers of it are tuned.

    Args:
        decoding: Searches by name.
        tuning: Lowest and highest value of what is tuned: weights of scorers (`lm`), and other
            numbers of their entries (`ctc.prior_scale`).
        table: Searches as rows and columns.
        plugins: Python modules to import first, since they register more names.
    """

    decoding: dict[str, Search] = field(default_factory=dict)
    tuning: dict[str, tuple[float, float]] = field(default_factory=dict)
    table: Table | None = None
    plugins: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NamedSearch:
    """A search of a decode spec, and its place in the table.

    Args:
        name: Its name; the folder of its results.
        spec: A tree with this search below `decoding:`, and where its values came from.
        row: Name of its row.
        column: Title of its column.
    """

    name: str
    spec: Spec
    row: str
    column: str = ALONE

    @property
    def node(self) -> dict[str, Any]:
        """The spec node of the search, filled: that of an equal search is equal.

        Raises:
            SpecError: If it has problems.
        """
        return filled(Search, self.spec, self.path)

    @property
    def path(self) -> str:
        """Its key path in `spec`."""
        return f"decoding.{self.name}"


def is_decode_spec(spec: Spec) -> bool:
    """Returns whether a spec says how to decode and nothing of a model."""
    keys = spec.tree.keys()
    return bool(keys & {"decoding", "tuning", "table"}) and not keys & TRAINED


def searches_of(spec: Spec) -> dict[str, NamedSearch]:
    """Returns the searches of a spec by name, those of its table included.

    Raises:
        UserError: If two searches have the same name.
    """
    found: dict[str, NamedSearch] = {}
    for search in [*_listed(spec), *_cells(spec)]:
        if search.name in found:
            raise UserError(f"two searches are named {search.name!r}, one of them in the table")
        found[search.name] = search
    return found


def pick(searches: dict[str, NamedSearch], name: str) -> NamedSearch:
    """Returns a search by name.

    Raises:
        UserError: If there is none; names those that there are.
    """
    if name in searches:
        return searches[name]
    names = ", ".join(searches) or "none"
    hint = did_you_mean(name, list(searches))
    raise UserError(f"there is no search {name!r} below decoding{hint}; there are: {names}")


def chosen_search(
    resolved: Spec, name: str, spec: Path | None, overrides: Sequence[str] = ()
) -> NamedSearch:
    """Returns a search by name, changed by overrides.

    Args:
        resolved: Spec of the run that is decoded.
        name: Name of the search.
        spec: File whose searches replace those of the run.
        overrides: `key=value` changes of the search.

    Raises:
        UserError: If there is no such search, or the file has problems.
    """
    found = pick(searches_of(resolved if spec is None else load_decode_spec(spec)), name)
    for override in overrides:
        apply(found.spec, f"{found.path}.{override}")
    found.spec.tell_old_names()
    return found


def load_decode_spec(path: Path) -> Spec:
    """Returns a checked spec file with searches.

    Raises:
        UserError: If anything in a decode spec is wrong; lists all of it.
    """
    spec = load_spec(path)
    problems = decode_problems(spec) if is_decode_spec(spec) else []
    if problems:
        lines = "\n".join(str(problem) for problem in problems)
        raise UserError(f"{len(problems)} problem(s) in {path}\n{lines}")
    return spec


def decode_problems(spec: Spec) -> list[Problem]:
    """Returns everything that is wrong with a decode spec."""
    problems = check_tree(DecodeSpec, spec)
    if problems:
        return problems
    try:
        searches = searches_of(spec)
    except UserError as error:
        return [Problem("table", str(error), spec.source("table"))]
    for search in searches.values():
        problems += dry_build(Search, search.spec, search.path)
    problems += _unknown_rows(spec)
    if not problems:
        problems += _scorer_problems(searches)
        problems += _tuning_problems(spec, searches)
    return problems


def _scorer_problems(searches: dict[str, NamedSearch]) -> Iterator[Problem]:
    """Yields what no model can have: frames that a language model should score, for example."""
    unknown = UnreadModels(Vocabulary(["label"]))
    for search in searches.values():
        for problem in misused_scorers(build(Search, search.spec, search.path), unknown):
            yield Problem(search.path, problem, search.spec.source(search.path))


def _listed(spec: Spec) -> Iterator[NamedSearch]:
    for name, node in (spec.tree.get("decoding") or {}).items():
        yield NamedSearch(name, _at(spec, f"decoding.{name}", name, node), row=name)


def _cells(spec: Spec) -> Iterator[NamedSearch]:
    table = spec.tree.get("table") or {}
    for row, node in (table.get("rows") or {}).items():
        base = _at(spec, f"table.rows.{row}", row, node)
        yield NamedSearch(row, base, row)
        for column, entry in (table.get("columns") or {}).items():
            own = row in (entry.get("rows") or {})
            changes = entry["rows"][row] if own else entry["changes"]
            if changes is None:
                continue
            place = f"table.columns.{column}." + (f"rows.{row}" if own else "changes")
            name = f"{row}_{column}"
            below = _at(spec, f"table.rows.{row}", name, copy_of(node))
            change = _at(spec, place, name, changes)
            tree = merge(below.tree, change.tree, "", below.sources, change.source)
            cell = Spec(tree, {**below.sources, **change.sources})
            yield NamedSearch(name, cell, row, entry.get("title") or column)


def _at(spec: Spec, path: str, name: str, node: Any) -> Spec:
    """Returns a node of a spec as the search of a name below `decoding:`."""
    target = f"decoding.{name}"
    below = {k: where for k, where in spec.sources.items() if is_below(k, path)}
    sources = {target + key[len(path) :]: where for key, where in below.items()}
    return Spec({"decoding": {name: node}}, sources)


def _unknown_rows(spec: Spec) -> list[Problem]:
    table = spec.tree.get("table") or {}
    return [
        Problem(
            f"table.columns.{column}.rows.{row}",
            f"unknown row{did_you_mean(row, list(table['rows']))}; the rows are "
            f"{', '.join(table['rows'])}",
            spec.source(f"table.columns.{column}.rows.{row}"),
        )
        for column, entry in (table.get("columns") or {}).items()
        for row in entry.get("rows") or {}
        if row not in table["rows"]
    ]


def _tuning_problems(spec: Spec, searches: dict[str, NamedSearch]) -> Iterator[Problem]:
    """Yields the names below `tuning:` that no search has, and ranges the wrong way round."""
    known: dict[str, None] = {}
    for search in searches.values():
        known.update(dict.fromkeys(tunable(search.node)))
    for name, (low, high) in (spec.tree.get("tuning") or {}).items():
        where = spec.source(f"tuning.{name}")
        if name not in known:
            scorers = ", ".join(key for key in known if "." not in key) or "none"
            yield Problem(
                f"tuning.{name}",
                f"no search has this{did_you_mean(name, list(known))}; their scorers: {scorers}",
                where,
            )
        if low > high:
            yield Problem(f"tuning.{name}", f"expected [LOW, HIGH], got [{low}, {high}]", where)


def table(
    runs: Sequence[Path],
    dev: str,
    tests: Sequence[str],
    searches: Sequence[str],
    spec: Path | None,
    out: Path,
) -> str:
    """Writes tables of a run's searches, in the rows and columns of a spec file.

    Those of several runs have a row for each run, and a column for each search.

    Args:
        runs: Run folders.
        dev: Set that weights were tuned on.
        tests: Sets to report.
        searches: Names of the searches; if empty, all that have decoded all these sets.
        spec: File with a `table:`; each search has a row of its own if not given.
        out: The Markdown file.

    Returns:
        The tables.

    Raises:
        UserError: If a search has not decoded and scored a set, or the file has problems.
    """
    named = {} if spec is None else searches_of(load_decode_spec(spec))
    places = {name: (search.row, search.column) for name, search in named.items()}
    order = sorted(searches, key=[*named, *searches].index)
    if len(runs) > 1:
        return write_models_table(runs, dev, tests, order, out)
    return write_search_table(runs[0], dev, tests, order, out, places)
