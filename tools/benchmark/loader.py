#!/usr/bin/env python3
"""The speed of the data loader, and the cost of manifests of a large corpus.

python tools/benchmark/loader.py rate DATA --set train     a recipe's data folder
python tools/benchmark/loader.py manifests                 281 241 utterances, as in LibriSpeech
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import soundfile

from asrkit.data.dataset import CutData
from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.data.settings import Batches, DataSettings
from asrkit.text.tokenizers import Tokenizer
from asrkit.text.vocabulary import Vocabulary


class NoText(Tokenizer):
    """Gives no labels for any text: only audio is measured."""

    vocabulary = Vocabulary(["a"])

    def encode(self, text: str) -> list[int]:
        """Returns no label."""
        return []

    def decode(self, ids: list[int]) -> str:
        """Returns no text."""
        return ""

    def unknown_in(self, text: str) -> list[str]:
        """Returns nothing."""
        return []


@click.group()
def main() -> None:
    """Measures the data side."""


@main.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--set", "name", default="train", show_default=True)
@click.option("--workers", default=2, show_default=True)
def rate(data: Path, name: str, workers: int) -> None:
    """Prints how many seconds of audio the loader delivers per second."""
    for speeds in ([1.0], [0.9, 1.0, 1.1]):
        settings = DataSettings([name], [name], Batches(120.0), speeds=speeds, num_workers=workers)
        source = CutData(open_set(data, [name]), NoText(), settings, seed=1, training=True)
        batches = source.batches(epoch=1)
        next(batches)  # starting the workers does not count
        start, samples = time.perf_counter(), 0
        for batch in batches:
            samples += int(batch.signal_lengths.sum())
        seconds = time.perf_counter() - start
        print(f"speeds {speeds}, {workers} workers: {samples / 16000 / seconds:.0f} x real time")


@main.command()
@click.option("--utterances", default=281_241, show_default=True)
@click.option("--jobs", default=2, show_default=True)
def manifests(utterances: int, jobs: int) -> None:
    """Prints time and memory of making and loading a manifest; all utterances share 100 files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(100):
            samples = np.zeros(16000 + number, dtype=np.int16)
            soundfile.write(folder / f"{number}.flac", samples, 16000, subtype="PCM_16")
        start = time.perf_counter()
        write_manifest(folder, "train", sources(folder, utterances), jobs)
        made = time.perf_counter()
        cuts = open_set(folder, ["train"])
        loaded = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{len(cuts)} utterances: made in {made - start:.0f} s, loaded in "
            f"{loaded - made:.0f} s, peak memory {peak:.2f} GiB"
        )


def sources(folder: Path, count: int) -> Iterator[Source]:
    """Yields a number of utterances."""
    for number in range(count):
        yield Source(
            f"u{number}", folder / f"{number % 100}.flac", "SOME WORDS", f"s{number % 2000}"
        )


if __name__ == "__main__":
    main()
