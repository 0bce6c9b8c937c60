#!/usr/bin/env python3
"""TED-LIUM release 2 (OpenSLR 19): 207 hours of TED talks, one 16 kHz SPHERE file per talk.

A corpus folder has TEDLIUM_release2/{train,dev,test}/{sph/TALK.sph,stm/TALK.stm}, the dictionary
TEDLIUM.152k.dic and texts for language models in LM. Every segment of an STM file becomes an
utterance: a part of the talk's recording. Talks are sorted by name, their segments by time; dev has
all of its 8 talks, and test all of its 11.

Texts are normalised as follows, as in Kaldi's recipe unless noted otherwise:

- segments with `ignore_time_segment_in_scoring` instead of words are left out;
- marks are dropped: `<sil>`, `<unk>` (Kaldi keeps it), `{NOISE}` and `[NOISE]` (Kaldi keeps them as
  words), numbers of pronunciation variants as in `read(2)`, an utterance name in parentheses at the
  end;
- `it 's` becomes `it's` if the dictionary has the joined word. With `--apostrophes split`,
  `it's` becomes `it 's` everywhere instead: RETURNN's published word error rates count such words.

The same texts go to the manifests and to DATA/stm/SET.stm, the references for scoring. Segments
without any words left are not used for training; in dev and test, words recognised there count as
insertions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from asrkit.data.demands import Choices, set_options
from asrkit.data.downloads import Archive, unpack
from asrkit.data.downloads import download as download_archive
from asrkit.data.lm_text import latin_words, write_sentences
from asrkit.data.manifests import Source, write_manifest
from asrkit.data.stm import Segment, read_stm, write_stm
from asrkit.errors import UserError
from asrkit.files import matching, read_lines
from asrkit.utf8 import use_utf8

PARTS = ("train", "dev", "test")
ARCHIVE = Archive(
    "https://www.openslr.org/resources/19/TEDLIUM_release2.tar.gz",
    "sha256:93281b5fcaaae5c88671c9d000b443cb3c7ea3499ad12010b3934ca41a7b9c58",
)
MARKS = re.compile(r"<[^>]*>|\{\w+\}|\[\w+\]|\(\d\)|\(\S*\)\s*$")
LABELS = {"F0_M": ("o", "f0", "male"), "F0_F": ("o", "f0", "female")}
"""Some files have other tags; scores by category need the same ones everywhere."""
HEADER = [
    'LABEL "o" "Overall" "Overall results"',
    'LABEL "f0" "f0" "Wideband channel"',
    'LABEL "f2" "f2" "Telephone channel"',
    'LABEL "male" "Male" "Male Talkers"',
    'LABEL "female" "Female" "Female Talkers"',
]
Apostrophes = Callable[[list[str]], list[str]]


def root_of(corpus: Path) -> Path:
    """Returns the folder of the release."""
    return corpus / "TEDLIUM_release2"


def read_part(corpus: Path, part: str, apostrophes: Apostrophes) -> Iterator[Segment]:
    """Yields the segments of a part with normalised texts, talk by talk and sorted by time.

    Raises:
        UserError: If the part's folder is missing, has no talks, or a talk has no audio.
    """
    folder = root_of(corpus) / part
    if not folder.is_dir():
        raise UserError(
            f"{folder} is missing: --corpus must be the folder that holds TEDLIUM_release2/{part}"
        )
    files = matching(folder / "stm", "*.stm")
    if not files:
        raise UserError(f"{folder} has no transcripts stm/*.stm")
    for path in files:
        audio = folder / "sph" / f"{path.stem}.sph"
        if not audio.is_file():
            raise UserError(f"{audio} is missing: {path} has its transcript")
        segments = sorted(read_stm(path), key=lambda s: (s.recording, s.channel, s.start))
        yield from (normalized(segment, apostrophes) for segment in segments)


def normalized(segment: Segment, apostrophes: Apostrophes) -> Segment:
    """Returns a segment with the words to be recognised."""
    names = tuple(name for label in segment.labels for name in LABELS.get(label, (label,)))
    if segment.ignored:
        return replace(segment, labels=names)
    words = apostrophes(MARKS.sub(" ", segment.text).split())
    return replace(segment, labels=names, text=" ".join(words))


class Joined:
    """Joins a word with a following one that starts with an apostrophe.

    Args:
        corpus: The corpus folder; its dictionary has the joined words.

    Raises:
        UserError: If the dictionary is missing.
    """

    def __init__(self, corpus: Path) -> None:
        path = root_of(corpus) / "TEDLIUM.152k.dic"
        if not path.is_file():
            raise UserError(
                f"{path} is missing, which says which words are joined with 's and the like; "
                "without it, use --apostrophes split"
            )
        self.words = {line.split()[0] for line in read_lines(path) if line.strip()}

    def __call__(self, words: list[str]) -> list[str]:
        """Returns words such as it's instead of it and 's."""
        joined: list[str] = []
        for word in words:
            if joined and word.startswith("'") and joined[-1] + word in self.words:
                joined[-1] += word
            else:
                joined.append(word)
        return joined


def split(words: list[str]) -> list[str]:
    """Returns words such as it and 's instead of it's."""
    return re.sub(r"(?<=\w)'(?=[A-Za-z])", " '", " ".join(words)).split()


def treatment(apostrophes: str, corpus: Path) -> Apostrophes:
    """Returns how apostrophes are handled: joined or split."""
    return Joined(corpus) if apostrophes == "joined" else split


class Spoken:
    """Writes lines of any text like the transcripts of talks: lower case, no marks.

    Args:
        apostrophes: How words with apostrophes are handled.
    """

    def __init__(self, apostrophes: Apostrophes) -> None:
        self.apostrophes = apostrophes

    def __call__(self, line: str) -> str | None:
        """Returns the words of a line, None if it has digits or characters of other scripts."""
        words = latin_words(MARKS.sub(" ", line))
        return None if words is None else " ".join(self.apostrophes(words.lower().split()))


def sources(corpus: Path, part: str, segments: list[Segment]) -> Iterator[Source]:
    """Yields the utterances of a part: segments with words, and in dev and test those without."""
    folder = root_of(corpus) / part / "sph"
    for segment in segments:
        if not segment.ignored and (segment.text or part != "train"):
            path = folder / f"{segment.recording}.sph"
            length = segment.end - segment.start
            yield Source(segment.id, path, segment.text, segment.speaker, segment.start, length)


def left_out(part: str, segments: list[Segment]) -> str:
    """Returns how many segments of a part are left out, and why; empty if none is."""
    unscored = sum(segment.ignored for segment in segments)
    silent = sum(not segment.ignored and not segment.text for segment in segments)
    counts = {"not to be scored": unscored, "without words": silent if part == "train" else 0}
    said = [f"{count} {why}" for why, count in counts.items() if count]
    return f"; segments left out: {', '.join(said)}" if said else ""


def is_whole(corpus: Path) -> bool:
    """Returns whether all parts are there."""
    return all((root_of(corpus) / part / "stm").is_dir() for part in PARTS)


@click.group()
def main() -> None:
    """Prepares TED-LIUM release 2."""


corpus_option = click.option("--corpus", type=click.Path(path_type=Path), required=True)


@main.command()
@corpus_option
def download(corpus: Path) -> None:
    """Finds the release in the corpus folder, or downloads it (35 GB)."""
    if is_whole(corpus):
        click.echo(f"found TED-LIUM release 2 in {root_of(corpus)}")
        return
    if root_of(corpus).exists():
        missing = [part for part in PARTS if not (root_of(corpus) / part / "stm").is_dir()]
        raise click.ClickException(
            f"{root_of(corpus)} is there, but incomplete: {', '.join(missing)}/stm missing; "
            "move it "
            "away to download the release, or unpack TEDLIUM_release2.tar.gz there by hand"
        )
    try:
        archive = download_archive(ARCHIVE, corpus)
        unpack(archive, root_of(corpus).name, root_of(corpus))
        click.echo(f"unpacked {root_of(corpus)}; {archive} is no longer needed")
    except (UserError, OSError) as error:
        raise click.ClickException(
            f"TED-LIUM release 2 is not in {root_of(corpus)}: {error}; or unpack "
            "TEDLIUM_release2.tar.gz of OpenSLR 19 there by hand"
        ) from error


apostrophes_option = click.option(
    "--apostrophes", type=click.Choice(["joined", "split"]), default="joined"
)


@main.command()
@corpus_option
@click.option("--data", type=click.Path(path_type=Path), required=True)
@apostrophes_option
@click.option("--jobs", default=2, show_default=True)
@set_options
def manifests(corpus: Path, data: Path, apostrophes: str, jobs: int, choices: Choices) -> None:
    """Writes the manifests train, dev and test, and references for scoring."""
    try:
        for part in PARTS:
            treat = treatment(apostrophes, corpus)
            segments = list(read_part(corpus, part, treat))
            write_stm(data / "stm" / f"{part}.stm", segments, HEADER)
            demands = choices.training() if part == "train" else choices.test()
            count = write_manifest(data, part, sources(corpus, part, segments), jobs, demands)
            talks = len({segment.recording for segment in segments})
            click.echo(f"{part}: {count} utterances of {talks} talks{left_out(part, segments)}")
    except UserError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@corpus_option
@apostrophes_option
def text(files: tuple[Path, ...], out: Path, corpus: Path, apostrophes: str) -> None:
    """Writes text for language models like the transcripts; the release has some in LM/*.gz."""
    try:
        click.echo(write_sentences(files, out, Spoken(treatment(apostrophes, corpus))))
    except UserError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    use_utf8()
    main()
