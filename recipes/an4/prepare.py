#!/usr/bin/env python3
"""AN4 (Carnegie Mellon, 1991): 948 training and 130 test utterances of 16 kHz speech.

The corpus folder has etc/an4_{train,test}.{fileids,transcription} and wav/.../*.sph. A tenth of
the training speakers' utterances becomes the dev set; the test set is the official one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from asrkit.data.demands import Choices, set_options
from asrkit.data.downloads import Archive, unpack
from asrkit.data.downloads import download as download_archive
from asrkit.data.lm_text import capital_words, write_sentences
from asrkit.data.manifests import Source, write_manifest
from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.utf8 import use_utf8

ARCHIVE = Archive(
    "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
    "sha256:a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
)
"""A copy, over https, of www.speech.cs.cmu.edu/databases/an4, which only has http."""
DEV_SPEAKERS = 8
"""Number of held-out speakers, one in nine of few: like test speakers, none is in training."""


def read_part(corpus: Path, part: str) -> Iterator[Source]:
    """Yields the utterances of the official train or test part; text is None without a transcript.

    Raises:
        UserError: If a list is missing or can't be read.
    """
    fileids, texts = (
        corpus / "etc" / f"an4_{part}.{kind}" for kind in ("fileids", "transcription")
    )
    for path in (fileids, texts):
        if not path.is_file():
            raise UserError(f"{path} is missing: is {corpus} the folder `an4` of the corpus?")
    transcripts = dict(parse(line, texts) for line in read_lines(texts) if line.strip())
    for name in filter(None, map(str.strip, read_lines(fileids))):
        utterance, speaker = Path(name).name, Path(name).parent.name
        path = corpus / "wav" / f"{name}.sph"
        yield Source(f"{speaker}-{utterance}", path, transcripts.get(utterance), speaker)


def parse(line: str, path: Path) -> tuple[str, str]:
    """Returns utterance name and text of a line such as `<s> YES </s> (an251-fash-b)`."""
    match = re.fullmatch(r"(.*)\((\S+)\)\s*", line)
    if match is None:
        raise UserError(f"{path}: expected `words (utterance)`, got {line!r}")
    return match[2], " ".join(re.sub(r"</?s>", " ", match[1]).split())


@click.group()
def main() -> None:
    """Prepares AN4."""


@main.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True)
def download(corpus: Path) -> None:
    """Finds the corpus folder, or downloads and unpacks it there."""
    if (corpus / "etc" / "an4_train.fileids").is_file():
        click.echo(f"found AN4 in {corpus}")
        return
    if corpus.exists() and any(corpus.iterdir()):
        raise click.ClickException(f"{corpus} is not AN4: it has no etc/an4_train.fileids")
    try:
        archive = download_archive(ARCHIVE, corpus.parent)
        unpack(archive, "an4", corpus)
        click.echo(f"unpacked {corpus}; {archive} is no longer needed")
    except (UserError, OSError) as error:
        raise click.ClickException(
            f"AN4 is not in {corpus}: {error}; or unpack an4_sphere.tar.gz by hand and give its "
            "folder `an4` as --corpus"
        ) from error


@main.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--jobs", default=2, show_default=True)
@set_options
def manifests(corpus: Path, data: Path, jobs: int, choices: Choices) -> None:
    """Writes the manifests train, dev and test."""
    try:
        train = list(read_part(corpus, "train"))
        speakers = sorted({source.speaker for source in train})
        count = max(min(DEV_SPEAKERS, len(speakers) // 9), 1)
        held_out = set(speakers[:: len(speakers) // count][:count])
        parts = {
            "train": [s for s in train if s.speaker not in held_out],
            "dev": [s for s in train if s.speaker in held_out],
            "train_dev": train,
            "test": list(read_part(corpus, "test")),
        }
        for name, sources in parts.items():
            demands = choices.test() if name == "test" else choices.training()
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
