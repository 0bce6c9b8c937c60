"""Finds the commands of the documentation: Markdown, heads of scripts and specs, --help."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.cli import main

ROOT = Path(__file__).parents[2]
STARTS = re.compile(
    r"(asrkit|torchrun|sbatch|tensorboard|source|python|(\S*/)?run\.sh|\.ci/run|tools/\S+\.(sh|py))(\s|$)"
)
CONTINUED = re.compile(r"\s*\\\n\s*#?\s*")


@dataclass(frozen=True)
class Command:
    """A command as it is written.

    Args:
        text: The words, those of continued lines in one line.
        file: Where it stands.
    """

    text: str
    file: Path

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}: {self.text}"


def documented() -> list[Command]:
    """Returns all commands of the documentation, each once a file."""
    found: list[Command] = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tools/*/*.md")]:
        if path.name != "CHANGELOG.md":
            found += (Command(text, path) for text in of_markdown(path.read_text("utf-8")))
    scripts = [ROOT / "tools/in_venv.sh", *ROOT.glob("recipes/*/run.sh")]
    for path in [*scripts, *ROOT.glob("recipes/*/conf/**/*.yaml")]:
        found += (Command(text, path) for text in of_comments(path.read_text("utf-8")))
    for path in ROOT.glob("tools/**/*.py"):
        words = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        found += (Command(text, path) for text in of_lines(words, indented=""))
    for verb in verbs(main):
        found += (Command(text, ROOT / "asrkit" / "cli") for text in of_help(verb.help or ""))
    return sorted(set(found), key=str)


def verbs(group: click.Group) -> Iterator[click.Command]:
    """Yields the verbs of a group, and those of groups among them."""
    for verb in group.commands.values():
        yield verb
        if isinstance(verb, click.Group):
            yield from verbs(verb)


def of_markdown(text: str) -> Iterator[str]:
    """Yields the commands of unmarked fenced blocks, whose loops are one command, and of `code`."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S):
        if language == "" and block.startswith("for "):
            yield block.strip()
        elif language == "":
            yield from of_lines(block, indented="")
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)):
        if STARTS.match(span):
            yield span


def of_comments(text: str) -> Iterator[str]:
    """Yields the commands of lines that are set off in comments, and of `code` in these."""
    comments = [line for line in CONTINUED.sub(" ", text).splitlines() if line.startswith("#")]
    yield from of_lines("\n".join(line[1:] for line in comments), indented="  ")
    for span in re.findall(r"`([^`\n]+)`", "\n".join(comments)):
        if STARTS.match(span):
            yield span


def of_lines(text: str, indented: str) -> Iterator[str]:
    """Yields the lines that are commands, without what is said of them after two spaces."""
    for line in CONTINUED.sub(" ", text).splitlines():
        if line.startswith(indented) and STARTS.match(line.strip()):
            yield re.split(r"\s{2,}", line.strip())[0]


def of_help(text: str) -> Iterator[str]:
    """Yields the examples of a verb's help."""
    yield from re.findall(r"^.*: ((?:asrkit|torchrun) .*)$", text, flags=re.M)
