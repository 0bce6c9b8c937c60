"""Old names in `phases:`, which hold key paths: what a phase changes, and what it leaves out."""

from __future__ import annotations

from typing import Any

from asrkit.config.key_paths import is_below, join
from asrkit.config.renamed_keys import Note
from asrkit.config.renames import current_key, given_twice, rename_key


def rename_phases(tree: Any, sources: dict[str, str], known: Any) -> list[Note]:
    """Gives the key paths in phases their new names, in place.

    Args:
        tree: Of a file.
        sources: "file:line" by key path; those of renamed keys get the new path.
        known: The tree that this one is put over, which knows more types.

    Returns:
        What was renamed.

    Raises:
        UserError: If a key is given by both names.
    """
    phases = tree.get("phases") if isinstance(tree, dict) else None
    notes: list[Note] = []
    for number, phase in enumerate(phases if isinstance(phases, list) else []):
        if isinstance(phase, dict):
            notes += _rename_phase(phase, sources, join("phases", number), known or tree)
    return notes


def _rename_phase(
    phase: dict[str, Any], sources: dict[str, str], path: str, known: Any
) -> list[Note]:
    notes: list[Note] = []
    changes, without = phase.get("changes"), phase.get("without")
    if isinstance(changes, dict):
        phase["changes"], notes = _renamed(changes, sources, join(path, "changes"), known)
    if isinstance(without, list):
        now = [current_key(name, known) if isinstance(name, str) else name for name in without]
        phase["without"] = now
        where = sources.get(join(path, "without"), "override")
        pairs = zip(without, now, strict=True)
        notes += [Note(old, new, where) for old, new in pairs if old != new]
    return notes


def _renamed(
    changes: dict[str, Any], sources: dict[str, str], path: str, known: Any
) -> tuple[dict[str, Any], list[Note]]:
    """Returns changes by their new key paths, and what was renamed."""
    result: dict[str, Any] = {}
    notes: list[Note] = []
    for key, value in changes.items():
        place = join(path, key)
        where = sources.get(place, "override")
        found, told = rename_key(key, value, known)
        notes += [Note(note.old, note.new, where) for note in told]
        for new, moved in found.items():
            if new in result or (new != key and new in changes):
                raise given_twice(where, key, new, sources.get(join(path, new)))
            result[new] = moved
            sources.setdefault(join(path, new), where)
        if key not in found:
            now = join(path, next(iter(found)))
            for below in [below for below in sources if is_below(below, place)]:
                sources[now + below[len(place) :]] = sources.pop(below)
    return result, notes
