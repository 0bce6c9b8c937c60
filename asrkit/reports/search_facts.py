"""What a run folder says of each of its searches: weights, results, commands."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from asrkit.config.plugins import import_plugins
from asrkit.config.problems import SpecError
from asrkit.config.yaml_loader import load
from asrkit.decoding.notes import read_note
from asrkit.errors import UserError
from asrkit.reports.commands import latest
from asrkit.reports.run_texts import NONE
from asrkit.run_files import SearchErrors, SearchNote, Summary, read_run_file, read_trials
from asrkit.run_folder import DecodedSet, RunFolder

log = logging.getLogger(__name__)


def place_of(run: Path, search: str, set_name: str) -> DecodedSet:
    """Returns the place of a set that a search has decoded.

    Raises:
        UserError: If it was not decoded, or not scored.
    """
    place = RunFolder(run).decoded_set(search, set_name)
    for path, verb in ((place.search, "decode"), (place.score, "score")):
        if not path.is_file():
            raise UserError(
                f"{path} is missing; first `asrkit {verb} --run {run} --set {set_name} "
                f"--search {search}`"
            )
    return place


def summary_of(run: Path, search: str, set_name: str) -> Summary:
    """Returns the speeds of a decode."""
    return read_run_file(place_of(run, search, set_name).summary, Summary)


def node_of(run: Path, search: str, sets: Sequence[str]) -> dict[str, Any] | None:
    """Returns the filled spec node of a search, which must be the same for all sets.

    Returns:
        The node; None where a part of it is unknown, as of a plugin that is gone, which is said.

    Raises:
        UserError: If it is not the same.
    """
    places = [place_of(run, search, name).search for name in sets]
    _import_plugins(run)
    try:
        nodes = [read_note(place).search for place in places]
    except SpecError as error:
        _tell_unknown(str(error))
        return None
    for name, place, node in zip(sets, places, nodes, strict=True):
        if node != nodes[0]:
            raise UserError(
                f"search {search!r} decoded {name} with other settings than {sets[0]}: compare "
                f"{places[0]} and {place}, and decode one again"
            )
    return dict(nodes[0])


@cache
def _tell_unknown(problem: str) -> None:
    """Logs why a search's settings are not shown, once."""
    log.warning("the settings of a search are left out of tables: %s", problem)


@cache
def _import_plugins(run: Path) -> None:
    """Imports the plugins of a run, whose names its searches may have, if they are there."""
    spec = RunFolder(run).spec
    if spec.is_file():
        with suppress(UserError):  # what is unknown without them is said
            import_plugins(load(spec), spec)


def weights_text(node: dict[str, Any], tuned: dict[str, float]) -> str:
    """Returns the weights of a search, a star behind those that are as they were tuned.

    Args:
        node: The search's filled spec node.
        tuned: Weights of the best decode while tuning; only those that were tuned.
    """
    words = []
    for name, entry in (node.get("scorers") or {}).items():
        weight = entry["weight"] if isinstance(entry, dict) else entry
        text = f"{name} {weight:g}" + ("*" if tuned.get(name) == weight else "")
        notes = _notes(entry, tuned.get(f"{name}.prior_scale")) if isinstance(entry, dict) else []
        words.append(f"{text} ({', '.join(notes)})" if notes else text)
    if node.get("length_norm"):
        words.append(f"length_norm {node['length_norm']:g}")
    ended = node.get("ended", {"type": "aside"})["type"]
    if ended != "aside":
        words.append(f"ended {ended}")
    return ", ".join(words) or NONE


def _notes(entry: dict[str, Any], tuned_prior: float | None) -> list[str]:
    """Returns what a scorer's name does not say: its prior, and the run that it is from."""
    scale = entry.get("prior_scale")
    notes = [f"prior {scale:g}" + ("*" if scale == tuned_prior else "")] if scale else []
    estimation = entry.get("estimation")
    of = estimation.get("run") if isinstance(estimation, dict) else entry.get("run")
    return [*notes, Path(of).name] if of else notes


def tuned_weights(run: Path, search: str) -> dict[str, float]:
    """Returns the weights that tuning chose among several; none if it did not."""
    path = RunFolder(run).tuned(search).with_suffix(".json")
    if not path.is_file():
        return {}
    trials = read_trials(path)
    best = min(trials, key=lambda trial: trial.wer).weights
    moved = {name for trial in trials for name in best if trial.weights[name] != best[name]}
    return {name: weight for name, weight in best.items() if name in moved}


def search_errors_text(place: DecodedSet) -> str:
    """Returns how many search errors a decoded set has, if they were counted."""
    if not place.search_errors.is_file():
        return NONE
    report = read_run_file(place.search_errors, SearchErrors)
    return f"{report.rate:.2f} % ({report.search_errors} of {report.sentences})"


def search_commands(run: Path, known: Sequence[str], search: str, sets: Sequence[str]) -> list[str]:
    """Returns the commands that made a row: tuning, decodes, and the latest of the others."""
    found = [f"# {search}"]
    if tuned_weights(run, search):
        found += latest(known, "tune", search)
    for name in sets:
        decode = read_run_file(place_of(run, search, name).search, SearchNote).command
        found += [decode] if decode else latest(known, "decode", search, name)
        found += latest(known, "score", search, name)
        if place_of(run, search, name).search_errors.is_file():
            found += latest(known, "search-errors", search, name)
    return list(dict.fromkeys(found))
