"""A run folder says what was trained in it: its spec is written when it is used, not before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from asrkit.config.build import build
from asrkit.config.explain import difference
from asrkit.config.ordered import ORDER
from asrkit.config.plugins import keep_plugins
from asrkit.config.yaml_loader import dump
from asrkit.errors import UserError
from asrkit.experiment.phases import Phase, phase_trees
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.run_folder import RunFolder
from asrkit.training.checkpoint_files import load
from asrkit.training.checkpoint_index import by_age, by_objective, read_index

log = logging.getLogger(__name__)

NOT_TRAINED_WITH = ("decoding", "parent")
"""Keys that a finished run takes over: they say what comes after training."""
SHOWN = 6
"""How many changed keys a message names."""


def claim_run(run: Path, resolved: dict[str, Any]) -> bool:
    """Writes the resolved spec into a run folder that is about to be trained in.

    A run that continues with other values says which; one that is finished keeps those it had.

    Args:
        run: The run folder.
        resolved: The whole spec.

    Returns:
        Whether there is something to train.

    Raises:
        UserError: If the folder holds a run of another model, text, start, seed or kind of
            optimiser, which can't continue.
    """
    path = RunFolder(run).spec
    finished = False
    if path.is_file() and read_index(RunFolder(run).checkpoints):
        _, before = resolve_spec(load_spec(path))  # keys that came since then have their defaults
        _refuse_changes(path, before, resolved)
        finished = is_finished(run, resolved["training"])
        rows = [row for row in difference(before, resolved) if _trained_with(row)]
        if rows and finished:
            log.warning(
                "%s is finished: nothing is trained, and its spec is unchanged; ignored: %s; "
                "raise training.epochs, or choose another --run folder",
                run,
                _shown(rows),
            )
            resolved = {**before, **{key: resolved.get(key) for key in NOT_TRAINED_WITH}}
        elif rows:
            log.info("%s continues with other values: %s", run, _shown(rows))
    run.mkdir(parents=True, exist_ok=True)
    keep_plugins(resolved["plugins"], run, renew=not finished)
    dump(resolved, path)
    return not finished


def is_finished(run: Path, training: dict[str, Any]) -> bool:
    """Returns whether a run has all its epochs, or was stopped early.

    Args:
        run: The run folder.
        training: Its settings.
    """
    folder = RunFolder(run).checkpoints
    newest, *_ = by_age(read_index(folder))
    if newest.dev is None:
        return False
    best = by_objective(read_index(folder))
    patience = training.get("early_stopping")
    early = bool(best) and patience is not None and newest.epoch - best[0].epoch >= patience
    if newest.epoch < training["epochs"] and not early:
        return False
    try:
        load(folder / newest.name)
    except UserError:
        return False  # it continues from the one before
    return True


def _refuse_changes(path: Path, before: dict[str, Any], resolved: dict[str, Any]) -> None:
    keys = ("model", "text", "imports", "seed")
    changed = [key for key in keys if (before.get(key) or None) != (resolved.get(key) or None)]
    changed += [] if _phases(before) == _phases(resolved) else ["phases"]
    changed += _changed_optimizer(before["training"], resolved["training"])
    if changed:
        raise UserError(
            f"{path.parent} holds a run whose {', '.join(changed)} differ from this spec; compare "
            f"with `asrkit diff {path} SPEC`, then choose another --run folder"
        )


def _phases(resolved: dict[str, Any]) -> list[Any]:
    """Returns what the phases of a spec train, however they name what they change."""
    phases = build(list[Phase], resolved.get("phases") or [])
    trees = phase_trees({**resolved, "phases": []}, phases)
    pairs = zip(phases, trees, strict=True)
    return [(phase.epochs, phase.updates, phase.moments, tree["model"]) for phase, tree in pairs]


def _trained_with(row: str) -> bool:
    """Returns whether a line of a difference is of a key that training uses."""
    key = row.split(":")[0].split(".")[0]
    return key not in NOT_TRAINED_WITH


def _shown(rows: list[str]) -> str:
    more = f", and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return ", ".join(rows[:SHOWN]) + more


def _changed_optimizer(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Returns the keys of training in which moments would be of other parameters or another kind.

    Numbers may change: what a step takes from the past is the same.
    """
    changed = [] if before.get("freeze") == after.get("freeze") else ["training.freeze"]
    old, new = before["optimizer"], after["optimizer"]
    if old["type"] != new["type"]:
        return [*changed, "training.optimizer.type"]
    chosen = [
        [(groups[name]["pattern"], groups[name]["module_types"]) for name in groups.get(ORDER, [])]
        for groups in (old["groups"], new["groups"])
    ]
    return changed if chosen[0] == chosen[1] else [*changed, "training.optimizer.groups"]
