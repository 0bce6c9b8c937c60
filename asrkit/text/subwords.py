"""Words split by a list of merges, as subword-nmt does: units end in @@, but for a word's last."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines

CONTINUED, END = "@@", "</w>"


class Subwords:
    """Splits words by the merges of a file, of which earlier ones come first.

    Args:
        path: A pair of units per line; the first line may say the version of the format.

    Raises:
        UserError: If the file can't be read, or a line holds something else.

    Source: Sennrich et al. 2016, section 3.2; subword-nmt, apply_bpe.py.
    """

    def __init__(self, path: Path) -> None:
        lines = list(read_lines(path))
        version = lines.pop(0).split()[-1] if lines and lines[0].startswith("#version:") else "0.1"
        if version not in ("0.1", "0.2"):
            raise UserError(f"{path}: unknown version {version!r} of merges, expected 0.1 or 0.2")
        self._end_apart = version == "0.1"
        self._ranks: dict[tuple[str, ...], int] = {}
        for number, line in enumerate(lines):
            pair = tuple(line.split(" "))
            if len(pair) != 2:
                raise UserError(f"{path}: expected two units, got {line!r}")
            self._ranks.setdefault(pair, number)
        self.split_word = lru_cache(65536)(self._split_word)

    def split(self, text: str) -> list[str]:
        """Returns the units of a text."""
        return [unit for word in text.split() for unit in self.split_word(word)]

    def _split_word(self, word: str) -> list[str]:
        units = [*word, END] if self._end_apart else [*word[:-1], word[-1] + END]
        while len(units) > 1:
            pairs = list(zip(units, units[1:], strict=False))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            units = _merged(units, best)
        units[-1] = units[-1].removesuffix(END)
        units = units if units[-1] else units[:-1]
        return [unit + CONTINUED for unit in units[:-1]] + units[-1:]


def joined(units: list[str]) -> str:
    """Returns the text of units."""
    return (" ".join(units) + " ").replace(f"{CONTINUED} ", "").rstrip()


def _merged(units: list[str], pair: tuple[str, ...]) -> list[str]:
    """Returns units with all pairs of these two joined."""
    found: list[str] = []
    for unit in units:
        if found and (found[-1], unit) == pair:
            found[-1] += unit
        else:
            found.append(unit)
    return found
