#!/usr/bin/env python3
"""Collects what a machine without network needs: wheels, and speech as Opus.

Utterances of CORPORA/LibriSpeech are taken from all speakers in turn, so that a part of the
training set has as many voices as all of it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import soundfile

from asrkit.errors import UserError
from asrkit.files import matching
from asrkit.utf8 import use_utf8
from recipes.librispeech.prepare import read_part, sets_of
from tools.gpu_day.corpus import ROOT_OF_AUDIO, Utterance, write_utterances

# Small wheels only: such machines already have the rest (torch, numpy, matplotlib).
WHEELS = (
    *("lhotse>=1.33,<2", "audioread", "intervaltree", "sortedcontainers", "cytoolz", "toolz"),
    *("tabulate", "tqdm", "packaging", "click", "soundfile", "cffi", "pycparser", "kaldialign"),
    *("sentencepiece", "safetensors", "rich", "markdown-it-py", "mdurl", "pygments", "pyyaml"),
    *("urllib3", "pytest", "pluggy", "iniconfig"),
)
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (17, 24, 27, 28, 34)] + [
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
]
COMPRESSION = 0.93  # about 24 kbit/s
TRAINING = 0.9
"""Share of the audio for training; dev and test share the rest."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="Folder that holds LibriSpeech; no audio without it.",
)
@click.option(
    "--python",
    default="3.12",
    show_default=True,
    help="Python version of the machine with the GPU.",
)
@click.option("--megabytes", default=60.0, show_default=True, help="Largest total size.")
@click.option(
    "--also", multiple=True, help="Further packages, such as espnet and its requirements."
)
@click.option("--wheels/--no-wheels", default=True, help="Whether to download wheels.")
def main(
    folder: Path,
    corpus: Path | None,
    python: str,
    megabytes: float,
    also: tuple[str, ...],
    wheels: bool,
) -> None:
    """Fills FOLDER with wheels/ and audio/."""
    if wheels:
        download([*WHEELS, *also], folder / "wheels", python)
    (folder / "wheels").mkdir(parents=True, exist_ok=True)
    left = megabytes * 1e6 - size_of(folder / "wheels")
    if left < 0:
        raise click.ClickException(f"the wheels are already larger than {megabytes} MB")
    if corpus is not None:
        try:
            for part, share in shares(corpus).items():
                seconds = pack_part(corpus, part, folder / ROOT_OF_AUDIO, share * left)
                click.echo(f"{part}: {seconds / 60:.1f} minutes")
        except UserError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{folder}: {size_of(folder) / 1e6:.1f} MB")


def shares(corpus: Path) -> dict[str, float]:
    """Returns the parts of LibriSpeech-mini, and each part's share of the audio."""
    sets = sets_of(corpus, "mini")
    others = [part for name, parts in sets.items() if name != "train" for part in parts]
    rest = (1 - TRAINING) / len(others)
    return {**dict.fromkeys(sets["train"], TRAINING), **dict.fromkeys(others, rest)}


def download(names: list[str], folder: Path, python: str) -> None:
    """Downloads wheels for a version of Python; prints which are not available."""
    options = ["--no-deps", "--only-binary=:all:", "--implementation=cp", "--quiet"]
    options += [f"--python-version={python}", f"--dest={folder}"]
    options += [f"--platform={platform}" for platform in PLATFORMS]
    for name in names:
        command = [sys.executable, "-m", "pip", "download", *options, name]
        done = subprocess.run(
            command, capture_output=True, check=False, encoding="utf-8", errors="replace"
        )
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2]
            click.echo(f"no wheel of {name}: {reason}", err=True)


def pack_part(corpus: Path, part: str, out: Path, most: float) -> float:
    """Writes utterances of a part up to a number of bytes; returns their seconds."""
    seconds = size = 0.0
    chosen: list[Utterance] = []
    for utterance, source in in_turn(corpus, part):
        samples, rate = soundfile.read(source, dtype="float32")
        path = out / part / utterance.path.with_suffix(".opus")
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"format": "OGG", "subtype": "OPUS", "compression_level": COMPRESSION}
        soundfile.write(path, samples, rate, **options)
        size += path.stat().st_size
        if size > most:
            path.unlink()
            break
        seconds += len(samples) / rate
        chosen.append(utterance)
    write_utterances(out / part, chosen)
    return seconds


def in_turn(corpus: Path, part: str) -> Iterator[tuple[Utterance, Path]]:
    """Yields utterances with their files, from all speakers in turn."""
    speakers: dict[str, list[tuple[Utterance, Path]]] = {}
    for source in read_part(corpus, part):
        if source.text is not None:
            path = source.path.relative_to(corpus / "LibriSpeech" / part)
            found = (Utterance(path, source.text), source.path)
            speakers.setdefault(source.speaker, []).append(found)
    for place in range(max(map(len, speakers.values()), default=0)):
        yield from (found[place] for found in speakers.values() if place < len(found))


def size_of(folder: Path) -> int:
    """Returns the total size of all files in bytes."""
    return sum(path.stat().st_size for path in matching(folder, "**/*") if path.is_file())


if __name__ == "__main__":
    use_utf8()
    main()
