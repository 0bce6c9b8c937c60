"""Old names of keys: read wherever a spec comes from, reported once, never mixed with the new ones.

Each file is brought to the new names before it is merged with others, so that a variant with an old
name changes what its base says under the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

from asrkit.config.key_paths import is_below, join, steps
from asrkit.config.ordered import ORDER
from asrkit.config.renamed_keys import ANY, RENAMED, Note, Rename
from asrkit.errors import UserError

Path = tuple[str | int, ...]
SEARCHES = "decoding.*."
TABLES = ("table.rows.*.", "table.columns.*.changes.", "table.columns.*.rows.*.")
"""Where the keys of a search stand in decode specs with a table."""


def renames() -> list[Rename]:
    """Returns the table of this version, searches of tables included."""
    more = []
    for rename in RENAMED:
        if rename.old.startswith(SEARCHES):
            pairs = [[key.replace(SEARCHES, place) for place in TABLES] for key in _keys(rename)]
            more += [Rename(old, new, rename.type) for old, new in zip(*pairs, strict=True)]
    return [*RENAMED, *more]


def rename_tree(tree: Any, sources: dict[str, str], known: Any = None) -> list[Note]:
    """Gives the keys of a file's tree their new names, in place.

    Args:
        tree: Mappings and lists.
        sources: "file:line" by key path; those of renamed keys get the new path.
        known: The tree that this one is put over, which knows more types.

    Returns:
        What was renamed.

    Raises:
        UserError: If a key is given by both names.
    """
    notes = []
    for rename in renames():
        for old, new in [*_found(tree, rename, known)]:
            notes.append(_move(tree, sources, old, new))
    return notes


def rename_key(key: str, value: Any, known: Any) -> tuple[dict[str, Any], list[Note]]:
    """Returns a key path and what is put there under new names, and what was renamed.

    Args:
        key: Key path; one that is none is returned as it is.
        value: A mapping may have old keys inside, which may become others outside of it.
        known: The tree that it is put into, which knows types.
    """
    path = tuple(steps(key))
    for rename in renames():
        new = _of_path(path, rename, known)
        if new is not None:
            length = rename.old.count(".") + 1
            result = reduce(join, (*new, *path[length:]), "")
            return {result: value}, [Note(key, result, "override")]
    if not isinstance(value, dict) or not path:
        return {key: value}, []
    tree: Any = value
    for step in reversed(path):
        tree = {step: tree}
    found, notes = {key: value}, []
    for rename in renames():
        for old, new in [*_found(tree, rename, known)]:
            notes.append(_move(tree, {}, old, new))
            if new[: len(path)] != path:
                found[reduce(join, new, "")] = _at(tree, new)
    return found, notes


def current_key(key: str, known: Any) -> str:
    """Returns the name that a key path has now."""
    return next(iter(rename_key(key, None, known)[0]))


def old_names(path: str, kind: str | None) -> dict[str, str]:
    """Returns the old keys of a part, and their names now as seen from it.

    Args:
        path: Key path of the part.
        kind: Its type.
    """
    place, found = tuple(steps(path)), {}
    for rename in renames():
        old, new = rename.old.split("."), rename.new.split(".")
        depth = len(old) - 1
        if depth != len(place) or not rename.fits(kind) or new[:depth] != old[:depth]:
            continue
        if all(name in (ANY, step) for name, step in zip(old, place, strict=False)):
            found[old[-1]] = ".".join(new[depth:])
    return found


def old_key(key: str) -> str:
    """Returns the name that a key path had before; the same where it has none."""
    for rename in renames():
        pattern = re.escape(rename.new).replace(r"\.\*", r"(\.[^.\[\]]+|\[\d+\])")
        match = re.match(rf"{pattern}(?=[.\[]|$)", key)
        if match:
            old = reduce(lambda path, step: path.replace(".*", step, 1), match.groups(), rename.old)
            return old + key[match.end() :]
    return key


def _keys(rename: Rename) -> tuple[str, str]:
    return rename.old, rename.new


def _found(tree: Any, rename: Rename, known: Any) -> Iterator[tuple[Path, Path]]:
    """Yields the old and the new path of each place of a tree that a rename concerns."""
    for old in _places(tree, rename.old.split("."), known, rename, ()):
        yield old, _filled(rename, old)


def _places(
    node: Any, names: Sequence[str], known: Any, rename: Rename, at: Path
) -> Iterator[Path]:
    name, *rest = names
    if not rest:
        if isinstance(node, dict) and name in node and rename.fits(_type_of(node, known)):
            yield (*at, name)
        return
    for step in _children(node, name):
        below = _child(known, step)
        yield from _places(_child(node, step), rest, below, rename, (*at, step))


def _children(node: Any, name: str) -> Iterable[str | int]:
    if isinstance(node, list):
        return range(len(node)) if name == ANY else ()
    if not isinstance(node, dict):
        return ()
    if name == ANY:
        return [step for step in node if step != ORDER]
    return [name] if name in node else ()


def _child(node: Any, step: str | int) -> Any:
    if isinstance(node, dict) and isinstance(step, int) and isinstance(node.get(ORDER), list):
        step = node[ORDER][step] if step < len(node[ORDER]) else step
    try:
        return node[step]
    except (KeyError, IndexError, TypeError):
        return None


def _at(tree: Any, path: Path) -> Any:
    return reduce(_child, path, tree)


def _type_of(node: Any, known: Any) -> Any:
    """Returns the type that a part says, else that which is known of it."""
    found = [each for each in (node, known) if isinstance(each, dict) and "type" in each]
    if found:
        return found[0]["type"]
    return known if isinstance(known, str) else None  # the short name of a part


def _of_path(path: Path, rename: Rename, known: Any) -> Path | None:
    """Returns the new beginning of a key path whose beginning is renamed."""
    names = rename.old.split(".")
    if len(path) < len(names):
        return None
    if any(name not in (ANY, step) for name, step in zip(names, path, strict=False)):
        return None
    parent = path[: len(names) - 1]
    return _filled(rename, path) if rename.fits(_type_of(None, _at(known, parent))) else None


def _filled(rename: Rename, path: Path) -> Path:
    """Returns the new path for an old one: each `*` is what it was there."""
    pairs = zip(rename.old.split("."), path, strict=False)
    found = iter([step for name, step in pairs if name == ANY])
    return tuple(next(found) if name == ANY else name for name in rename.new.split("."))


def _move(tree: Any, sources: dict[str, str], old: Path, new: Path) -> Note:
    """Moves a value within a tree; its sources go along."""
    was, now = (reduce(join, path, "") for path in (old, new))
    where = sources.get(was, "override")
    value = _at(tree, old[:-1]).pop(old[-1])
    parent: Any = tree
    place = ""
    for step in new[:-1]:
        place = join(place, step)
        node = _child(parent, step)
        if node is None:
            node = {}
        if isinstance(node, str):
            node = {"type": node}  # a short name
        if not isinstance(node, dict | list):
            raise UserError(f"{where}: {was} is now {now}, but {place} is {node!r}")
        parent[step] = node
        sources.setdefault(place, where)
        parent = node
    if new[-1] in parent:
        raise given_twice(where, was, now, sources.get(now))
    parent[new[-1]] = value
    for key in [key for key in sources if is_below(key, was)]:
        sources[now + key[len(was) :]] = sources.pop(key)
    return Note(was, now, where)


def given_twice(where: str, old: str, new: str, other: str | None) -> UserError:
    """Returns the refusal of a key that is given by both its names."""
    also = f" ({other})" if other else ""
    return UserError(f"{where}: {old} is now {new}, which is given as well{also}: leave out {old}")
