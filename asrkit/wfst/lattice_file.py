"""Lattices of sets as files: a line of JSON per utterance, compressed; words and scores by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.wfst.determinised import PARTS, WordLattice

_INTEGERS = ("frames", "sources", "targets", "words")


@dataclass(frozen=True)
class NamedLattice:
    """A lattice, and what its numbers mean.

    Args:
        lattice: Word w of its arcs is `words[w - 1]`.
        words: Those that it has.
        spellings: The labels of each.
        scorers: Which scorer of the search the scores of each of the `PARTS` belong to.
        heard: How many frames the utterance has.
    """

    lattice: WordLattice
    words: list[str]
    spellings: list[list[int]]
    scorers: Mapping[str, str]
    heard: int

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON has it; scores have 4 decimals, and null is where no path ends."""
        lattice = self.lattice
        fields: dict[str, Any] = {n: getattr(lattice, n).tolist() for n in _INTEGERS}
        fields["scores"] = np.round(lattice.scores, 4).tolist()
        ends = [row if np.isfinite(row).all() else None for row in lattice.ends]
        fields["ends"] = [None if row is None else np.round(row, 4).tolist() for row in ends]
        texts = {"names": self.words, "spellings": self.spellings, "scorers": dict(self.scorers)}
        return {**fields, **texts, "whole": lattice.whole, "heard": self.heard}

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> NamedLattice:
        """Returns the lattice of a line."""
        arrays = {name: np.array(fields[name], np.int64) for name in _INTEGERS}
        none = [-np.inf] * len(PARTS)
        ends = np.array([none if row is None else row for row in fields["ends"]], np.float64)
        scores = np.array(fields["scores"], np.float64).reshape(-1, len(PARTS))
        lattice = WordLattice(
            **arrays, ends=ends.reshape(-1, len(PARTS)), scores=scores, whole=fields["whole"]
        )
        # Older files don't tell how long utterances are.
        heard = int(fields.get("heard", lattice.frames.max(initial=0)))
        return cls(lattice, fields["names"], fields["spellings"], fields["scorers"], heard)


def write_lattices(path: Path, lines: Iterable[str]) -> None:
    """Writes lines of JSON, wholly or not at all.

    Args:
        path: The file.
        lines: What the lattices depend on (`fingerprint`); then an utterance (`id`) and its
            `lattice` in each.
    """
    with replaced(path) as partial, gzip.open(partial, "wt", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def copy_lattices(source: Path, target: Path, fingerprint: str) -> None:
    """Copies lattices to lists that depend on something else: other weights.

    Raises:
        UserError: If the file is damaged.
    """
    kept = (json.dumps(fields) for fields in _lines(source) if "fingerprint" not in fields)
    write_lattices(target, chain([json.dumps({"fingerprint": fingerprint})], kept))


def lattices_fingerprint(path: Path) -> str | None:
    """Returns what the lattices of a file depend on; None where there is no such file."""
    if not path.is_file():
        return None
    for fields in _lines(path):
        return str(fields.get("fingerprint"))
    return None


def read_lattices(path: Path) -> Iterator[tuple[str, NamedLattice | None]]:
    """Yields utterances and their lattices; None where no path was found.

    Raises:
        UserError: If the file is damaged.
    """
    for fields in _lines(path):
        if "fingerprint" in fields:
            continue
        try:
            found = fields["lattice"]
            lattice = None if found is None else NamedLattice.of_json(found)
            yield fields["id"], lattice
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                fields = json.loads(line)
                if not isinstance(fields, dict):
                    raise ValueError("a line is not an object")
                yield fields
    except (OSError, EOFError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} can't be read ({error}): decode the set again")
