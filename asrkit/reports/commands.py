"""The commands that made a run folder: commands.txt, as a shell reads it.

A quoted word may hold spaces, and even ends of lines: such a command goes over several lines.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrkit.files import read_lines


def read_commands(path: Path) -> list[str]:
    """Returns the commands of a file, in the order they were given; none where it is missing."""
    return split_commands(read_lines(path)) if path.is_file() else []


def split_commands(lines: Iterable[str]) -> list[str]:
    """Returns the commands of some lines; what is quoted to the end and further is one command."""
    commands: list[str] = []
    open_lines: list[str] = []
    for line in lines:
        open_lines.append(line)
        if words_of("\n".join(open_lines)) is not None:
            commands.append("\n".join(open_lines))
            open_lines = []
    # A quote that is never closed, as of a line that was cut off, hides no commands after it.
    return [command for command in (*commands, *open_lines) if command.strip()]


def words_of(command: str) -> list[str] | None:
    """Returns the words of a command; None if a quote in it is not closed."""
    try:
        return shlex.split(command)
    except ValueError:
        return None


def option_of(command: str, name: str) -> str | None:
    """Returns the value of an option of a command: that after `--name` or `--name=`."""
    words = words_of(command) or []
    values = dict(zip(words, words[1:], strict=False))
    joined = (word.partition("=")[2] for word in words if word.startswith(f"{name}="))
    return next(joined, values.get(name))


def is_verb(command: str, verb: str) -> bool:
    """Returns whether a command calls a verb of asrkit."""
    return verb in (words_of(command) or [])[1:3]


def latest(
    commands: Sequence[str], verb: str, search: str, set_name: str | None = None
) -> list[str]:
    """Returns the last command of a verb for a search and a set, in a list; empty if none."""
    for command in reversed(commands):
        right_set = set_name is None or option_of(command, "--set") == set_name
        if is_verb(command, verb) and option_of(command, "--search") == search and right_set:
            return [command]
    return []
