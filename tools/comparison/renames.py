"""The old names of renamed parameters and keys.

Keys whose old names are still accepted in specs are in asrkit/config/renamed_keys.py; renames.yaml
has all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from asrkit.config.renames import old_key
from asrkit.config.yaml_loader import load
from asrkit.errors import UserError

Rules = list[tuple[str, str]]


@dataclass(frozen=True)
class Renames:
    """Rules for the names of parameters and keys; of each, the first match applies.

    Args:
        parameters: Regular expressions that whole new names match, and the old names.
        keys: The same for the key paths of specs.
    """

    parameters: Rules
    keys: Rules

    def parameter(self, name: str) -> str:
        """Returns the old name of a parameter."""
        return _renamed(name, self.parameters)

    def key(self, name: str) -> str:
        """Returns the old name of a key."""
        renamed = _renamed(name, self.keys)
        phase = re.match(r"phases\[\d+\]\.changes\.", renamed)
        start = phase.end() if phase else 0  # keys of changes are key paths themselves
        return renamed[:start] + old_key(renamed[start:])


def read_renames(path: Path) -> Renames:
    """Returns the rules of a file.

    Raises:
        UserError: If it has other keys than parameters and keys, or an invalid regular expression.
    """
    tree = load(path).tree or {}
    unknown = sorted(tree.keys() - {"parameters", "keys"})
    if unknown:
        raise UserError(f"{path}: unknown {unknown[0]!r}; expected parameters and keys")
    rules = {kind: list((tree.get(kind) or {}).items()) for kind in ("parameters", "keys")}
    for pattern, _ in rules["parameters"] + rules["keys"]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"{path}: {pattern!r} is not a regular expression: {error}") from error
    return Renames(**rules)


def _renamed(name: str, rules: Rules) -> str:
    for pattern, old in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(old)
    return name
