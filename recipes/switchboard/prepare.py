#!/usr/bin/env python3
"""Switchboard: telephone conversations between strangers, 8 kHz, a channel for each side.

The corpus folder has the files of the Linguistic Data Consortium, in any folders below it; they are
found by these names:

| files                                       | what                                  | from       |
| ------------------------------------------- | ------------------------------------- | ---------- |
| sw02001.sph ...                             | conversations, for training           | LDC97S62   |
| conv_tab.csv                                | who speaks in which conversation      | LDC97S62   |
| sw2001A-ms98-a-trans.text ...               | ISIP transcripts with times           | OpenSLR 5  |
| sw-ms98-dict.text                           | which acronyms are spelled; optional  | OpenSLR 5  |
| hub5e00*.stm, en2000*_hub5.glm              | Hub5'00: references and mapping rules | LDC2002T43 |
| sw_4390.sph ..., en_4156.sph ...            | Hub5'00: Switchboard and CallHome     | LDC2002S09 |
| hub5e01*.stm and its .sph                   | Hub5'01                               | LDC2002S13 |
| eval03/english/cts/*.stm, .sph, en2003*.glm | RT-03                                 | LDC2007S10 |

Sets: `train_dev` is all of Switchboard. `dev` is some whole conversations of it, and `train` the
conversations that share no speaker with them. `hub5e_00`, `hub5e_01` and `rt03s` are the segments
of their STM files; those files, with errors fixed, and their mapping rules go to DATA/scoring.
"""

from __future__ import annotations

import csv
import logging
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.data.demands import Choices, Demands, set_options
from asrkit.data.lm_text import latin_words, write_sentences
from asrkit.data.manifests import Source, write_manifest
from asrkit.errors import UserError
from asrkit.files import matching, read_lines, replaced, write_lines
from asrkit.scoring.nist.hub5_stm import clean_stm, plain_text, read_hub5_stm
from asrkit.text.isip import NotationError, by_case, read_dictionary, words_of
from asrkit.utf8 import use_utf8

RATE = 8000
DEV_SHARE = 0.01
"""Share of conversations held out as dev set: about 24 of 2438, and at least one."""
WHERE = "see the top of recipes/switchboard/prepare.py for what the corpus folder must contain"
TRANSCRIPT = re.compile(r"^sw(\d{4})([AB])-ms98-a-trans\.text$")
LINE = re.compile(r"^(\S+)\s+([\d.]+)\s+([\d.]+)\s*(.*)$")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SetFiles:
    """The files of a test set: patterns of their paths, in order of preference."""

    stm: str
    glm: tuple[str, ...]
    catalogue: str


HUB5_GLM = r"/en2000\d*_hub5\.glm$"
TEST_SETS = {
    "hub5e_00": SetFiles(r"/hub5e_?00[^/]*\.stm$", (HUB5_GLM,), "LDC2002S09 and LDC2002T43"),
    "hub5e_01": SetFiles(
        r"/hub5e_?01[^/]*\.stm$", (r"/en2001\d*_hub5\.glm$", HUB5_GLM), "LDC2002S13"
    ),
    "rt03s": SetFiles(r"/eval03/english/cts/[^/]*\.stm$", (r"/en2003\d*\.glm$",), "LDC2007S10"),
}


class Corpus:
    """The files below the corpus folder, and those below further folders, by name.

    Args:
        folders: A file in a later folder takes precedence over one of the same name.
    """

    def __init__(self, *folders: Path) -> None:
        self.folder = folders[0]
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is missing; {WHERE}")
        self.paths = [
            path
            for folder in folders
            if folder.is_dir()
            for path in matching(folder, "**/*")
            if path.is_file()
        ]
        self.audio = {p.stem: p for p in self.paths if p.suffix.lower() == ".sph"}

    def named(self, pattern: str) -> list[Path]:
        """Returns the files whose path matches."""
        return [path for path in self.paths if re.search(pattern, f"/{path.as_posix()}")]

    def recording(self, name: str) -> Path:
        """Returns the audio file of a recording, or the path where it should be."""
        return self.audio.get(name, self.folder / f"{name}.sph")


def read_speakers(corpus: Corpus) -> dict[str, tuple[str, str]]:
    """Returns the callers on sides A and B of each conversation, such as 2001.

    Raises:
        UserError: If the table is missing or damaged.
    """
    tables = corpus.named(r"/conv_tab\.csv$")
    if not tables:
        raise UserError(f"{corpus.folder} has no conv_tab.csv, which says who speaks; {WHERE}")
    path, speakers = tables[-1], {}
    for number, row in enumerate(csv.reader(read_lines(path), skipinitialspace=True), 1):
        if row and len(row) < 4:
            raise UserError(f"{path}, line {number}: expected conversation, ?, caller A, B")
        if row:
            speakers[row[0].strip()] = (row[2].strip(), row[3].strip())
    return speakers


def read_conversations(
    corpus: Corpus, speakers: dict[str, tuple[str, str]], spelled: Callable[[str], bool]
) -> dict[str, list[Source]]:
    """Returns the utterances of each conversation, without those that have no words.

    Raises:
        UserError: If there are no transcripts, or a line is damaged.
    """
    conversations: dict[str, list[Source]] = {}
    for path in corpus.named(r"/sw\d{4}[AB]-ms98-a-trans\.text$"):
        found = TRANSCRIPT.match(path.name)
        assert found is not None
        number, side = found.groups()
        channel = "AB".index(side)
        speaker = speakers.get(number, (f"sw{number}A", f"sw{number}B"))[channel]
        audio = corpus.recording(f"sw0{number}")
        sources = [
            Source(name, audio, text, speaker, start, end - start, channel)
            for name, start, end, text in read_transcript(path, spelled)
        ]
        if sources:
            conversations.setdefault(number, []).extend(sources)
    if not conversations:
        raise UserError(f"{corpus.folder} has no transcripts sw*-ms98-a-trans.text; {WHERE}")
    return conversations


def read_transcript(
    path: Path, spelled: Callable[[str], bool] = by_case
) -> Iterator[tuple[str, float, float, str]]:
    """Yields name, start, end and words of the utterances of one side that have words.

    Raises:
        UserError: If a line is damaged.
    """
    for number, line in enumerate(read_lines(path), 1):
        found = LINE.match(line.strip())
        if found is None:
            raise UserError(f"{path}, line {number}: expected name, start, end, words: {line!r}")
        try:
            words = words_of(found[4], spelled)
        except NotationError as error:
            log.warning("%s is left out: %s", found[1], error)
            continue
        if words:
            yield found[1], float(found[2]), float(found[3]), words


def held_out(speakers: dict[str, tuple[str, str]], count: int) -> tuple[set[str], set[str]]:
    """Chooses conversations for the dev set, so that few others share a speaker with them.

    In each step, the conversation is taken whose speakers cost the training set the fewest further
    conversations; among several, the one with the lowest number.

    Args:
        speakers: Callers of each conversation.
        count: Number of dev conversations.

    Returns:
        The dev conversations, and the others with one of their speakers, which are in neither set.
    """
    calls = Counter(caller for pair in speakers.values() for caller in set(pair))
    chosen: set[str] = set()
    callers: set[str] = set()
    while len(chosen) < min(count, len(speakers)):
        best = min(
            (number for number in speakers if number not in chosen),
            key=lambda number: (sum(calls[c] for c in {*speakers[number]} - callers), number),
        )
        chosen.add(best)
        callers.update(speakers[best])
    lost = {n for n, pair in speakers.items() if n not in chosen and callers & {*pair}}
    return chosen, lost


def training_sets(conversations: dict[str, list[Source]]) -> dict[str, list[Source]]:
    """Returns the utterances of train, dev and train_dev.

    Raises:
        UserError: If no conversation is left to train on.
    """
    speakers = {
        number: (callers[0], callers[-1])
        for number, sources in conversations.items()
        for callers in [sorted({source.speaker for source in sources})]
    }
    count = max(round(DEV_SHARE * len(speakers)), 1)
    dev, lost = held_out(speakers, count)
    click.echo(
        f"dev: {len(dev)} of {len(speakers)} conversations ({', '.join(sorted(dev))}); "
        f"{len(lost)} others share a speaker with them and are in train_dev only"
    )

    def of(numbers: Iterable[str]) -> list[Source]:
        return [source for number in sorted(numbers) for source in conversations[number]]

    train = conversations.keys() - dev - lost
    if not train:
        raise UserError(
            f"all of the {len(speakers)} conversations share speakers with the dev set: more "
            "conversations are needed"
        )
    return {"train": of(train), "dev": of(dev), "train_dev": of(conversations)}


def write_test_set(
    corpus: Corpus, name: str, files: SetFiles, data: Path, jobs: int, demands: Demands
) -> int | None:
    """Writes manifest, STM and GLM file of a test set; returns its size, None if it is missing.

    Raises:
        UserError: If its mapping rules are missing.
    """
    stms = corpus.named(files.stm)
    if not stms:
        return None
    if name != "rt03s":
        stms = stms[-1:]
    glms = [path for pattern in files.glm for path in corpus.named(pattern)]
    if not glms:
        raise UserError(f"{stms[0]} can't be scored without mapping rules, a .glm file; {WHERE}")
    stm = data / "scoring" / f"{name}.stm"
    write_lines(stm, clean_stm(line for path in stms for line in read_lines(path)))
    write_lines(stm.with_suffix(".glm"), read_lines(glms[0], errors="replace"))
    sources = (
        Source(
            segment.id,
            corpus.recording(segment.recording),
            plain_text(segment.text),
            f"{segment.recording}-{segment.channel}",
            segment.start,
            segment.end - segment.start,
            "AB".index(segment.channel),
        )
        for segment in read_hub5_stm(stm).segments
    )
    return write_manifest(data, name, sources, jobs, demands)


def is_compressed(path: Path) -> bool:
    """Returns whether a SPHERE file is shorten-compressed."""
    with path.open("rb") as file:
        return b"shorten" in file.read(1024)


def expand_file(path: Path, out: Path) -> None:
    """Expands a compressed SPHERE file; samples stay the same.

    Raises:
        UserError: If sph2pipe fails.
    """
    with replaced(out) as partial:
        command = ["sph2pipe", "-f", "sph", str(path), str(partial)]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if done.returncode:
            raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")


class Errors(click.Group):
    """Prints problems that users can fix without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Errors)
def main() -> None:
    """Prepares Switchboard."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")


corpus_option = click.option("--corpus", type=click.Path(path_type=Path), required=True)
data_option = click.option("--data", type=click.Path(path_type=Path), required=True)
jobs_option = click.option("--jobs", default=2, show_default=True)


@main.command()
@corpus_option
def find(corpus: Path) -> None:
    """Lists what is in the corpus folder; LDC's corpora can't be downloaded without a licence."""
    files = Corpus(corpus)
    sides = files.named(r"/sw\d{4}[AB]-ms98-a-trans\.text$")
    audio = sum(1 for name in files.audio if re.fullmatch(r"sw0\d{4}", name))
    click.echo(f"found {audio} conversations, transcripts of {len(sides)} sides")
    read_speakers(files)
    if not sides or not audio:
        raise UserError(f"{corpus} lacks {'transcripts' if audio else 'conversations'}; {WHERE}")
    for name, test in TEST_SETS.items():
        there = "found" if files.named(test.stm) else f"not there (LDC: {test.catalogue})"
        click.echo(f"{name}: {there}")


@main.command()
@corpus_option
@data_option
@jobs_option
def expand(corpus: Path, data: Path, jobs: int) -> None:
    """Expands shorten-compressed SPHERE files to DATA/expanded with sph2pipe."""
    out = data / "expanded"
    compressed = [path for path in Corpus(corpus).audio.values() if is_compressed(path)]
    wanted = [path for path in compressed if not (out / path.name).is_file()]
    if wanted and not shutil.which("sph2pipe"):
        raise UserError(
            f"{len(wanted)} files are shorten-compressed SPHERE, such as {wanted[0]}: install "
            "sph2pipe (LDC's, or github.com/burrmill/sph2pipe) and put it on the PATH"
        )
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda path: expand_file(path, out / path.name), wanted))
    click.echo(f"expanded {len(wanted)} files, {len(compressed) - len(wanted)} were before")


@main.command()
@corpus_option
@data_option
@jobs_option
@set_options
def manifests(corpus: Path, data: Path, jobs: int, choices: Choices) -> None:
    """Writes the manifests, and the files for scoring test sets."""
    files = Corpus(corpus, data / "expanded")
    dictionaries = files.named(r"/sw-ms98-dict\.text$")
    spelled = read_dictionary(dictionaries[-1]) if dictionaries else by_case
    conversations = read_conversations(files, read_speakers(files), spelled)
    for name, sources in training_sets(conversations).items():
        count = write_manifest(data, name, sources, jobs, choices.training(RATE))
        click.echo(f"{name}: {count} utterances")
    for name, test in TEST_SETS.items():
        size = write_test_set(files, name, test, data, jobs, choices.test(RATE))
        click.echo(f"{name}: {'not there' if size is None else f'{size} utterances'}")


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def text(files: tuple[Path, ...], out: Path) -> None:
    """Writes text for language models like the transcripts: lower case, ' and -."""
    try:
        click.echo(write_sentences(files, out, spoken))
    except UserError as error:
        raise click.ClickException(str(error)) from error


def spoken(line: str) -> str | None:
    """Returns a line like a transcript, None if it has digits or other characters."""
    words = latin_words(line, joiners="'-")
    return None if words is None else words.lower()


if __name__ == "__main__":
    use_utf8()
    main()
