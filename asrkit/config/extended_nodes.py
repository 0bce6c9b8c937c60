"""`extends` inside a spec: a node that starts from a node of what its file extends.

So a part can be put around another one, or get another name, without being written again:

    encoder: {type: chunked, size: 60, encoder: {extends: model.encoder, num_layers: 4}}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asrkit.config.key_paths import copy_of, is_below, join, steps
from asrkit.config.merging import merge
from asrkit.errors import UserError

KEY = "extends"


def extend_nodes(
    tree: Any, sources: dict[str, str], base: Any, base_sources: dict[str, str], path: str = ""
) -> Any:
    """Returns a tree whose nodes with `extends` are put over those that they name.

    Args:
        tree: What will be put over the base; it stays as it is.
        sources: Where its values came from; those of what it takes over are added.
        base: The tree whose nodes can be named, by their key paths. It is emptied where such nodes
            will be put, so that they replace what is there.
        base_sources: Where the base's values came from; those of what is emptied are removed.
        path: Key path of the tree.

    Raises:
        UserError: If there is no such node.
    """
    nodes = _Nodes(sources, base, base_sources)
    extended = nodes.extended(tree, path)
    for place in nodes.places:
        _empty(base, base_sources, place)
    return extended


@dataclass
class _Nodes:
    """The arguments of `extend_nodes`, and the key paths of nodes that had `extends`."""

    sources: dict[str, str]
    base: Any
    base_sources: dict[str, str]
    places: list[str] = field(default_factory=list)

    def extended(self, tree: Any, path: str) -> Any:
        if isinstance(tree, list):
            return [self.extended(item, join(path, index)) for index, item in enumerate(tree)]
        if not isinstance(tree, dict):
            return tree
        items = [(key, value) for key, value in tree.items() if key != KEY]
        changes = {key: self.extended(value, join(path, key)) for key, value in items}
        return self.over(tree[KEY], changes, path) if KEY in tree else changes

    def over(self, key: Any, changes: dict[str, Any], path: str) -> Any:
        """Returns the node at a key path of the base with changes on top."""
        self.places.append(path)
        where = self.sources.pop(join(path, KEY), "override")
        node = _at(self.base, key)
        if not isinstance(node, dict):
            raise UserError(
                f"{where}: {join(path, KEY)}: expected the key path of a part in what the file "
                f"extends, such as model.encoder, got {key!r}"
                f"{'' if self.base else '; this file extends nothing'}"
            )
        below = [place for place in self.base_sources if is_below(place, key)]
        taken = {path + place[len(key) :]: self.base_sources[place] for place in below}
        whole = merge(copy_of(node), changes, path, taken, self.sources.get)
        self.sources.update({**taken, **self.sources})
        return whole


def _at(tree: Any, key: Any) -> Any:
    """Returns what is at a key path of mappings, or None."""
    path = steps(key) if isinstance(key, str) else []
    node = tree if path else None
    for step in path:
        node = node.get(step) if isinstance(node, dict) else None
    return node


def _empty(tree: Any, sources: dict[str, str], path: str) -> None:
    """Takes all out of the mapping at a key path, if there is one; its place among others stays."""
    node = _at(tree, path)
    if isinstance(node, dict):
        node.clear()
        for key in [key for key in sources if key != path and is_below(key, path)]:
            del sources[key]
