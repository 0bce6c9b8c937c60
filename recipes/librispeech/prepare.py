#!/usr/bin/env python3
"""LibriSpeech (OpenSLR 12 and 31): read English books, 16 kHz FLAC.

A corpus folder has LibriSpeech/PART/SPEAKER/CHAPTER/*.flac and *.trans.txt. The manifests are
named by their use: `train` joins the training parts, every other part keeps its own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from asrkit.data.demands import Choices, set_options
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
    """Returns the texts of a chapter by utterance; none where the file is missing."""
    if not path.is_file():
        return {}
    parts = (line.split(maxsplit=1) for line in read_lines(path))
    return {name: " ".join(text) for name, *text in filter(None, parts)}


def sets_of(corpus: Path, size: str) -> dict[str, list[str]]:
    """Returns manifest names and their parts: train, and every dev and test part by its own name.

    OpenSLR 31 calls its dev part dev-clean-2; it stands in where dev-clean-mini is missing.
    """
    chosen = SETS[size]
    parts = [*chosen["dev"], *chosen["test"]]
    if size == "mini" and not (corpus / "LibriSpeech" / "dev-clean-mini").is_dir():
        parts = ["dev-clean-2"]
    return {"train": chosen["train"], **{part: [part] for part in parts}}


def unfinished(corpus: Path, part: str) -> Path:
    """Returns the file that is there while a part is being unpacked."""
    return corpus / "LibriSpeech" / f".{part}.unfinished"


def is_whole(corpus: Path, part: str) -> bool:
    """Says whether a part is there, and not left half unpacked by an interrupted download."""
    return (corpus / "LibriSpeech" / part).is_dir() and not unfinished(corpus, part).exists()


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
    missing = [part for part in wanted if not is_whole(corpus, part)]
    if not missing:
        click.echo(f"found {', '.join(wanted)} in {corpus}/LibriSpeech")
        return
    from lhotse.recipes import download_librispeech

    try:
        for part in missing:
            mark = unfinished(corpus, part)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            download_librispeech(corpus, dataset_parts=[part])
            mark.unlink()
    except Exception as error:
        raise click.ClickException(
            f"{', '.join(missing)} not in {corpus}/LibriSpeech, and the download failed: {error}; "
            "unpack the archives of OpenSLR 12 (31 for train-clean-5) there by hand"
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
