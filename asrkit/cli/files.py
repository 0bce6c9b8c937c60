"""The verbs `asrkit files ...`: what other programs, such as a recipe's shell, ask for names."""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.cli.options import FILE, FOLDER, SEARCH, SET
from asrkit.cli.reads import read_by, spec_files, without_launcher
from asrkit.config.yaml_loader import load
from asrkit.data_folder import DataFolder
from asrkit.digests import digest
from asrkit.errors import UserError
from asrkit.run_folder import RunFolder
from asrkit.terminal import say_as_it_is

OF_RUN = ("spec", "average", "index", "log", "environment", "curves", "commands")
OF_SEARCH = ("tuned",)
OF_SET = ("nbest", "score", "summary", "search_errors")


@dataclass(frozen=True)
class Lines:
    """The lines that a verb has printed."""

    lines: list[str]


@click.group()
def files() -> None:
    """Print names of files for other programs, one per line.

    Example: asrkit files spec conf/conformer.yaml
    """


@files.command()
@click.argument("specs", type=FILE, nargs=-1, required=True)
def spec(specs: tuple[Path, ...]) -> Lines:
    """List the files that SPEC files are read from: themselves, what they extend, plugins.

    Example: asrkit files spec conf/conformer.yaml
    """
    return _print(dict.fromkeys(path for each in specs for path in spec_files(each)))


@files.command()
@click.argument("spec", type=FILE)
def hears(spec: Path) -> Lines:
    """Print what a model of a SPEC hears: audio, or features that something else has made.

    Example: asrkit files hears conf/conformer.yaml
    """
    heard = load(spec).tree
    for key in ("model", "features", "type"):
        heard = heard.get(key) if isinstance(heard, dict) else heard
    return _print(["features" if heard == "ready_made" else "audio"])


@files.command()
@click.argument("spec", type=FILE)
def heads(spec: Path) -> Lines:
    """List the names of the heads of a model of a SPEC.

    Example: asrkit files heads conf/conformer.yaml
    """
    found = load(spec).tree
    for key in ("model", "heads"):
        found = found.get(key) if isinstance(found, dict) else None
    return _print([name for name, head in (found or {}).items() if head is not None])


@files.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.argument("what", type=click.Choice([*OF_RUN, *OF_SEARCH, *OF_SET]))
@click.option("--search", type=SEARCH, help="Name of a search, for what belongs to one.")
@click.option("--set", "set_name", type=SET, help="Name of a set that it decoded.")
def run(folder: Path, what: str, search: str | None, set_name: str | None) -> Lines:
    """Print the path of something in a RUN folder, whether it exists or not.

    Example: asrkit files run run/first nbest --search joint --set dev
    """
    places = RunFolder(folder)
    if what in OF_RUN:
        return _print([getattr(places, what)])
    if search is None or (what in OF_SET and set_name is None):
        raise UserError(f"{what} needs --search" + (" and --set" if what in OF_SET else ""))
    if what in OF_SEARCH:
        return _print([getattr(places, what)(search)])
    return _print([getattr(places.decoded_set(search, set_name or ""), what)])


@files.command()
@click.argument("data", type=FOLDER)
@click.argument("starts", metavar="[START]...", nargs=-1)
def sets(data: Path, starts: tuple[str, ...]) -> Lines:
    """List the sets of a DATA folder, or those whose names start with a prefix.

    Example: asrkit files sets data dev
    """
    names = DataFolder(data).set_names()
    found = [name for start in starts or ("",) for name in names if name.startswith(start)]
    return _print(dict.fromkeys(found))


@files.command()
@click.argument("folder", metavar="RUN", type=FOLDER)
@click.option("--data", type=FOLDER, required=True, help="Data folder.")
@click.option("--spec", type=FILE, help="File whose searches replace those of the run.")
@click.option("--complete", is_flag=True, help="Leave out searches that lack a file; say which.")
@click.option("--priors", is_flag=True, help="List the heads whose label priors they need instead.")
def searches(folder: Path, data: Path, spec: Path | None, complete: bool, priors: bool) -> Lines:
    """List the searches of a RUN, each with the files that it needs besides the run's own weights.

    Name and files are separated by tabs.

    Example: asrkit files searches run/first --data data --spec conf/decode/table.yaml --complete
    """
    from asrkit.experiment.search_needs import needs_of

    found = needs_of(folder, data, spec)
    if priors:
        return _print(dict.fromkeys(head for each in found.values() for head in each.priors))
    lines = []
    for name, each in found.items():
        missing = " and no ".join(str(path) for path in each.files if not path.is_file())
        if complete and missing:
            say_as_it_is(f"left out: {name}, as there is no {missing}", error=True)
        else:
            lines.append("\t".join([name, *map(str, each.files)]))
    return _print(lines)


@files.command(context_settings={"ignore_unknown_options": True})
@click.option("--without", multiple=True, type=FOLDER, help="Folder that does not count in others.")
@click.option("--input", "inputs", multiple=True, type=FILE, help="File or folder; repeatable.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def stage(
    context: click.Context,
    without: tuple[Path, ...],
    inputs: tuple[Path, ...],
    command: tuple[str, ...],
) -> Lines:
    """Print digests: of a COMMAND's words, and of the files that it and the inputs are made of.

    How many processes work on it does not count. An input that is a spec stands for all that it is
    read from.

    Example: asrkit files stage --input corpus -- asrkit average --run run/first --best 5
    """
    lines = []
    if command:
        lines.append(f"{zlib.crc32(shlex.join(_that_matter(command)).encode())} command")
    left_out = {folder.resolve() for folder in without}
    named = [path for each in inputs for path in _all_of(each)]
    verbs = context.find_root().command
    assert isinstance(verbs, click.Group)
    for path in dict.fromkeys([*named, *read_by(verbs, command)]):
        try:
            lines.append(f"{digest(path, left_out)} {str(path)!r}")
        except OSError as error:
            raise UserError(f"{path}: can't be read: {error}") from error
    return _print(lines)


def _all_of(path: Path) -> list[Path]:
    return spec_files(path) if path.suffix == ".yaml" and path.is_file() else [path]


def _that_matter(command: tuple[str, ...]) -> list[str]:
    """Returns a command without the number of processes that work on it, which changes nothing."""
    words = iter(without_launcher(command))
    found = []
    for word in words:
        if word == "--jobs":
            next(words, "")
        else:
            found.append(word)
    return found


def _print(lines: Iterable[object]) -> Lines:
    """Prints names as they are, as programs need them."""
    found = [str(line) for line in lines]
    for line in found:
        say_as_it_is(line)
    return Lines(found)
