"""A table of one model's searches, from its run folder alone: what each found, and at what cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import write_text
from asrkit.scoring.results import markdown_table, read_json

INTRODUCTION = """# Searches of {run}

Generated from the run folder by `asrkit table`; do not edit. Weights with a star were tuned on
{dev}, which decides nothing else; the others are as given. WER in percent with the 95 % bootstrap
interval over utterances. RTF is the time of encoder and search over the audio's duration, on
{device} with {threads} threads. Search errors are the sentences in percent whose reference the
search itself scores higher than what it found.
"""
SYNCHRONOUS = {"label_sync": "label", "two_pass": "two passes"}
"""What the searches' types go by; all others go by frames."""
NONE = "–"


def write_search_table(
    run: Path, dev: str, tests: Sequence[str], searches: Sequence[str], out: Path
) -> str:
    """Writes a table of searches that have decoded some sets, and the commands that made it.

    Args:
        run: Run folder.
        dev: Set that weights were tuned on.
        tests: Sets to report.
        searches: Names of the searches, in the order of the rows; if empty, all that have decoded
            all these sets.
        out: The Markdown file.

    Returns:
        The table.

    Raises:
        UserError: If a search has not decoded and scored a set, or has other weights on another.
    """
    names = searches or _scored_everywhere(run, [dev, *tests])
    header = ["search", "goes by", "beam", "weights", f"WER {dev}"]
    for test in tests:
        header += [f"WER {test}", "95 %", "RTF", "search errors"]
    rows = [_row(run, name, dev, tests) for name in names]
    table = markdown_table(header, rows)
    commands = "\n\n".join("\n".join(_commands(run, name, [dev, *tests])) for name in names)
    facts = read_json(run / "environment.json")
    threads = {
        read_json(_folder(run, name, tests[0]) / "summary.json")["threads"] for name in names
    }
    introduction = INTRODUCTION.format(
        run=run.name,
        dev=dev,
        device=facts["device"],
        threads=" or ".join(map(str, sorted(threads))),
    )
    write_text(out, f"{introduction}\n{table}\n```\n{commands}\n```\n")
    return table


def _scored_everywhere(run: Path, sets: Sequence[str]) -> list[str]:
    folders = sorted(path for path in (run / "decode").glob("*") if path.is_dir())
    names = [
        folder.name
        for folder in folders
        if all((folder / name / "score.json").is_file() for name in sets)
    ]
    if not names:
        raise UserError(
            f"no search of {run} has decoded all of {', '.join(sets)}; first `asrkit decode` and "
            "`asrkit score` them"
        )
    return names


def _folder(run: Path, search: str, set_name: str) -> Path:
    folder = run / "decode" / search / set_name
    for name, verb in (("search.json", "decode"), ("score.json", "score")):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder / name} is missing; first `asrkit {verb} --run {run} --set {set_name} "
                f"--search {search}`"
            )
    return folder


def _row(run: Path, search: str, dev: str, tests: Sequence[str]) -> list[str]:
    node = _node(run, search, [dev, *tests])
    shown = node if isinstance(node, dict) else {"type": node}
    beam = shown.get("beam_size") or shown.get("first", {}).get("beam_size") or NONE
    by = SYNCHRONOUS.get(shown["type"], "frame")
    dev_score = read_json(_folder(run, search, dev) / "score.json")
    row = [search, by, str(beam), weights_text(shown, _tuned(run, search)), _percent(dev_score)]
    for test in tests:
        folder = _folder(run, search, test)
        score, summary = read_json(folder / "score.json"), read_json(folder / "summary.json")
        interval = f"{score['low']:.2f} – {score['high']:.2f}"
        row += [_percent(score), interval, f"{summary['rtf']:.4f}", _search_errors(folder)]
    return row


def _percent(score: dict[str, Any]) -> str:
    return f"{score['wer']:.2f}"


def _node(run: Path, search: str, sets: Sequence[str]) -> Any:
    """Returns the spec node of a search, which must be the same for all sets."""
    nodes = [read_json(_folder(run, search, name) / "search.json")["search"] for name in sets]
    for name, node in zip(sets, nodes, strict=True):
        if node != nodes[0]:
            raise UserError(
                f"search {search!r} decoded {name} in another way than {sets[0]}: compare "
                f"{run}/decode/{search}/{{{sets[0]},{name}}}/search.json, and decode one again"
            )
    return nodes[0]


def weights_text(node: dict[str, Any], tuned: dict[str, float]) -> str:
    """Returns the weights of a search, a star behind those that are as they were tuned.

    Args:
        node: The search's spec node.
        tuned: Weights of the best decode while tuning; only those that were tuned.
    """
    words = []
    for name, entry in (node.get("scorers") or {}).items():
        weight = entry["weight"] if isinstance(entry, dict) else entry
        text = f"{name} {weight:g}" + ("*" if tuned.get(name) == weight else "")
        scale = entry.get("prior_scale") if isinstance(entry, dict) else None
        words.append(f"{text} (prior {scale:g})" if scale else text)
    if node.get("length_norm"):
        words.append(f"length_norm {node['length_norm']:g}")
    return ", ".join(words) or NONE


def _tuned(run: Path, search: str) -> dict[str, float]:
    """Returns the weights that tuning chose among several; none if it did not."""
    path = run / "tune" / f"{search}.json"
    if not path.is_file():
        return {}
    trials = json.loads(path.read_text(encoding="utf-8"))
    best: dict[str, float] = min(trials, key=lambda trial: trial["wer"])["weights"]
    moved = {name for trial in trials for name in best if trial["weights"][name] != best[name]}
    return {name: weight for name, weight in best.items() if name in moved}


def _search_errors(folder: Path) -> str:
    path = folder / "search_errors.json"
    if not path.is_file():
        return NONE
    report = read_json(path)
    return f"{report['rate']:.2f} ({report['search_errors']} of {report['sentences']})"


def _commands(run: Path, search: str, sets: Sequence[str]) -> list[str]:
    """Returns the commands that made a row: tuning, decodes, and the latest of the others."""
    path = run / "commands.txt"
    known = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [f"# {search}"]
    if _tuned(run, search):
        found += _latest(known, "tune", search, None)
    for name in sets:
        note = read_json(_folder(run, search, name) / "search.json")
        decode = note.get("command")
        found += [decode] if decode else _latest(known, "decode", search, name)
        found += _latest(known, "score", search, name)
        if (_folder(run, search, name) / "search_errors.json").is_file():
            found += _latest(known, "search-errors", search, name)
    return found


def _latest(commands: Sequence[str], verb: str, search: str, set_name: str | None) -> list[str]:
    """Returns the last command of a verb for a search and a set, in a list; empty if none."""
    for command in reversed(commands):
        words = shlex.split(command)
        options = dict(zip(words, words[1:], strict=False))
        right_set = set_name is None or options.get("--set") == set_name
        if verb in words[1:3] and options.get("--search") == search and right_set:
            return [command]
    return []
