#!/usr/bin/env python3
"""LibriSpeech (OpenSLR 12 and 31): read English books, 16 kHz FLAC.

A corpus folder has LibriSpeech/PART/SPEAKER/CHAPTER/*.flac and *.trans.txt. The manifests are
named by their use: `train` joins the training parts, all other parts keep their own names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from asrkit.data.demands import Choices, set_options
from asrkit.data.downloads import Archive, unpack
from asrkit.data.downloads import download as download_archive
from asrkit.data.lm_text import capital_words, write_sentences
from asrkit.data.manifests import Source, write_manifest
from asrkit.errors import UserError
from asrkit.files import matching, read_lines
from asrkit.utf8 import use_utf8

SETS = {
    "960h": {
        "train": ["train-clean-100", "train-clean-360", "train-other-500"],
        "dev": ["dev-clean", "dev-other"],
        "test": ["test-clean", "test-other"],
    },
    "100h": {
        "train": ["train-clean-100"],
        "dev": ["dev-clean", "dev-other"],
        "test": ["test-clean", "test-other"],
    },
    "mini": {"train": ["train-clean-5"], "dev": ["dev-clean-mini"], "test": ["test-clean-mini"]},
}


MD5 = {
    "dev-clean": "42e2234ba48799c1f50f24a7926300a1",
    "dev-other": "c8d0bcc9cca99d4f8b62fcc847357931",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
    "test-other": "fb5a50374b501bb3bac4815ee91d3135",
    "train-clean-100": "2a93770f6d5c6c964bc36631d331a522",
    "train-clean-360": "c0e676e450a7ff2f54aeade5171606fa",
    "train-other-500": "d1a0fd59409feb2c614ce4d30c387708",
    "train-clean-5": "5df7d4e78065366204ca6845bb08f490",
    "dev-clean-2": "6d7ab67ac6a1d2c993d050e16d61080d",
}
"""MD5 digests of the archives, from md5sum.txt of OpenSLR 12 and 31."""


def archive_of(part: str) -> Archive:
    """Returns the archive of a part."""
    number = 31 if part in ("train-clean-5", "dev-clean-2") else 12
    url = f"https://www.openslr.org/resources/{number}/{part}.tar.gz"
    return Archive(url, f"md5:{MD5[part]}")


def read_part(corpus: Path, part: str) -> Iterator[Source]:
    """Yields the utterances of one part; an audio file without a transcript has no text.

    Raises:
        UserError: If the part's folder is missing or has no audio.
    """
    folder = corpus / "LibriSpeech" / part
    if not folder.is_dir():
        raise UserError(
            f"{folder} is missing: --corpus must be the folder that holds LibriSpeech/{part}"
        )
    found = False
    for chapter in (path for path in matching(folder, "*/*") if path.is_dir()):
        transcripts = chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"
        texts = read_transcripts(transcripts)
        names = {path.stem for path in matching(chapter, "*.flac")} | texts.keys()
        for name in sorted(names):
            found = True
            yield Source(name, chapter / f"{name}.flac", texts.get(name), chapter.parent.name)
    if not found:
        raise UserError(f"{folder} has no SPEAKER/CHAPTER folders with audio")


def read_transcripts(path: Path) -> dict[str, str]:
    """Returns the texts of a chapter by utterance; none if the file is missing."""
    if not path.is_file():
        return {}
    parts = (line.split(maxsplit=1) for line in read_lines(path))
    return {name: " ".join(text) for name, *text in filter(None, parts)}


def sets_of(corpus: Path, size: str) -> dict[str, list[str]]:
    """Returns manifest names and their parts: train, and every dev and test part by its own name.

    OpenSLR 31 calls its dev part dev-clean-2; it is used if dev-clean-mini is missing.
    """
    chosen = SETS[size]
    parts = [*chosen["dev"], *chosen["test"]]
    if size == "mini" and not (corpus / "LibriSpeech" / "dev-clean-mini").is_dir():
        parts = ["dev-clean-2"]
    return {"train": chosen["train"], **{part: [part] for part in parts}}


@click.group()
def main() -> None:
    """Prepares LibriSpeech."""


corpus_option = click.option("--corpus", type=click.Path(path_type=Path), required=True)
size_option = click.option("--size", type=click.Choice(list(SETS)), default="960h")


@main.command()
@corpus_option
@size_option
def download(corpus: Path, size: str) -> None:
    """Finds the parts in the corpus folder, or downloads the missing ones."""
    wanted = [part for parts in sets_of(corpus, size).values() for part in parts]
    missing = [part for part in wanted if not (corpus / "LibriSpeech" / part).is_dir()]
    if not missing:
        click.echo(f"found {', '.join(wanted)} in {corpus}/LibriSpeech")
        return
    try:
        for part in missing:
            archive = download_archive(archive_of(part), corpus)
            unpack(archive, f"LibriSpeech/{part}", corpus / "LibriSpeech" / part)
            click.echo(f"unpacked {part} into {corpus}/LibriSpeech; {archive} is no longer needed")
    except (UserError, OSError) as error:
        raise click.ClickException(
            f"{', '.join(missing)} not in {corpus}/LibriSpeech: {error}; or unpack the archives of "
            "OpenSLR 12 (31 for train-clean-5 and dev-clean-2) there by hand"
        ) from error


@main.command()
@corpus_option
@size_option
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--jobs", default=2, show_default=True)
@set_options
def manifests(corpus: Path, size: str, data: Path, jobs: int, choices: Choices) -> None:
    """Writes the manifests."""
    try:
        for name, parts in sets_of(corpus, size).items():
            sources = (source for part in parts for source in read_part(corpus, part))
            demands = choices.training() if name == "train" else choices.test()
            count = write_manifest(data, name, sources, jobs, demands)
            click.echo(f"{name}: {count} utterances")
    except UserError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def text(files: tuple[Path, ...], out: Path) -> None:
    """Writes text for language models like the transcripts: capitals and apostrophes."""
    try:
        click.echo(write_sentences(files, out, capital_words))
    except UserError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    use_utf8()
    main()
