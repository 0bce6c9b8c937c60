"""The file that a decode grows batch by batch, so that an interrupted one can continue.

Its first line names what the results depend on; then come the utterances, and after those of
each batch what the batch took. The last line may be cut off: it and what follows are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import json_line, replaced

KINDS = {"fingerprint", "id", "spent"}
"""What every line has one of."""


class PartialResults:
    """Results that are not complete yet.

    Args:
        path: The file; created where it is missing or of another fingerprint.
        fingerprint: Of everything the results depend on.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.lines: dict[str, str] = {}
        self.spent: dict[str, float] = {}
        header = {"fingerprint": fingerprint}
        kept = self._read(header)
        self._replace("".join([json.dumps(header) + "\n", *kept]))

    def __contains__(self, utterance: str) -> bool:
        return utterance in self.lines

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, utterances: Sequence[Mapping[str, Any]], spent: Mapping[str, float]) -> None:
        """Appends the new ones among the utterances of a batch, and what the batch took.

        Raises:
            UserError: If the file cannot be written; what it holds stays.
        """
        new = {u["id"]: json_line(u) for u in utterances if u["id"] not in self}
        text = "".join(line + "\n" for line in (*new.values(), json.dumps({"spent": dict(spent)})))
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise self._unwritable(error) from error
        self.lines.update(new)
        self._count(spent)

    def finish(self, files: dict[Path, str], void: Iterable[Path] = ()) -> None:
        """Puts each text in place whole, and removes the partial file once all are there.

        Args:
            files: Texts by their places.
            void: Files that are removed, as they were made of what the texts replace.

        Raises:
            UserError: If one cannot be written.
        """
        try:
            with ExitStack() as whole:  # it puts the last one in place first
                for path, text in reversed(files.items()):
                    place = whole.enter_context(replaced(path))
                    place.write_text(text, encoding="utf-8", newline="")
                for path in void:
                    path.unlink(missing_ok=True)
            self.path.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def _read(self, header: Mapping[str, str]) -> Iterable[str]:
        """Takes the whole lines of an earlier call; returns them."""
        if not self.path.is_file():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]  # after the last newline: cut off
        if not lines or _parsed(lines[0]) != header:
            return []
        kept = []
        for line in lines[1:]:
            entry = _parsed(line)
            if entry is None:
                break
            text = line.decode("utf-8")
            kept.append(text + "\n")
            if "spent" in entry:
                self._count(entry["spent"])
            else:
                self.lines[entry["id"]] = text
        return kept

    def _count(self, spent: Mapping[str, float]) -> None:
        for name, seconds in spent.items():
            self.spent[name] = self.spent.get(name, 0.0) + seconds

    def _replace(self, text: str) -> None:
        try:
            with replaced(self.path) as place:
                place.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"{error.filename or self.path}: {error.strerror or error}; {len(self)} decoded "
            f"utterances are kept in {self.path}: make room and repeat the same command"
        )


def fingerprint_of(path: Path) -> str | None:
    """Returns what the results in a file depend on; None where its first line is damaged."""
    with path.open("rb") as file:
        header = _parsed(file.readline())
    return header.get("fingerprint") if header else None


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Returns the JSON object of a line, or None where it is damaged."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and (entry.keys() & KINDS) else None
