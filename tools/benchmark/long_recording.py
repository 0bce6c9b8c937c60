#!/usr/bin/env python3
"""A recording of any length, heard chunk by chunk in constant memory, and its word error rate.

The recording is made of a set's utterances, one after the other and from the first again until it
is long enough; it is read and heard a piece at a time, as if it came from a microphone. Each length
has a process of its own, so that its peak of memory is its own, too. A model that needs whole
utterances hears each of them alone; so does the chunked one in a row of its own.

    python tools/benchmark/long_recording.py --data data --set test --run run/chunked --search s
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import click
import torch
from lhotse import MonoCut

sys.path.insert(0, str(Path(__file__).parents[2]))
import asrkit  # noqa: E402
from asrkit.data.cuts import read_cut, text_of  # noqa: E402
from asrkit.data.manifests import open_set  # noqa: E402
from asrkit.scoring.edits import Errors, count_errors  # noqa: E402

PIECE = 8000
"""Samples that are heard at a time."""
HEADINGS = ["model", "hears", "minutes", "WER", "words", "RTF", "peak MiB", "after a minute"]


def peak_mib() -> float:
    """Returns the most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def of_length(data: Path, name: str, minutes: float) -> Iterator[MonoCut]:
    """Yields utterances of a set until they are so long together."""
    left = minutes * 60
    for cut in cycle(open_set(data, [name])):
        if left <= 0:
            return
        left -= cut.duration
        yield cut


def hear_stream(run: Path, search: str, cuts: Iterator[MonoCut]) -> dict[str, Any]:
    """Returns the errors in a recording made of utterances, and what hearing it took."""
    recogniser = asrkit.load(run, search)
    stream, rate = recogniser.stream(), recogniser.sample_rate
    words: list[str] = []
    samples, early, begin = 0, 0.0, time.perf_counter()
    for cut in cuts:
        words += text_of(cut).split()
        signal = torch.from_numpy(read_cut(cut, rate))
        for piece in signal.split(PIECE):
            stream.feed(piece)
        samples += len(signal)
        if samples < 60 * rate:
            early = peak_mib()
    found, took = stream.finish().split(), time.perf_counter() - begin
    memory = early, peak_mib()  # before words are compared
    return row(count_errors(words, found), samples / rate, took, memory)


def hear_each(run: Path, search: str, cuts: Iterator[MonoCut]) -> dict[str, Any]:
    """Returns the errors in utterances that are heard alone, and what hearing them took."""
    recogniser = asrkit.load(run, search)
    errors, samples, early, begin = Errors(), 0, 0.0, time.perf_counter()
    for cut in cuts:
        signal = read_cut(cut, recogniser.sample_rate)
        errors += count_errors(text_of(cut).split(), recogniser.transcribe(signal).split())
        samples += len(signal)
        if samples < 60 * recogniser.sample_rate:
            early = peak_mib()
    seconds, took = samples / recogniser.sample_rate, time.perf_counter() - begin
    return row(errors, seconds, took, (early, peak_mib()))


def row(errors: Errors, seconds: float, took: float, memory: tuple[float, float]) -> dict[str, Any]:
    """Returns the numbers of a row."""
    return {
        "minutes": seconds / 60,
        "wer": errors.rate,
        "words": errors.words,
        "rtf": took / seconds,
        "peak": memory[1],
        "early": memory[0],
    }


def measure_alone(options: list[str]) -> dict[str, Any]:
    """Returns what another process measures."""
    words = [sys.executable, __file__, *options, "--alone"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return found


def line(model: str, hears: str, found: dict[str, Any]) -> str:
    """Returns a line of the table."""
    cells = [model, hears, f"{found['minutes']:.1f}", f"{found['wer']:.2f}", str(found["words"])]
    cells += [f"{found['rtf']:.3f}", f"{found['peak']:.0f}", f"{found['early']:.0f}"]
    return "| " + " | ".join(cells) + " |"


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data folder.")
@click.option("--set", "name", required=True, help="Set whose utterances make the recording.")
@click.option("--run", type=click.Path(path_type=Path), required=True, help="A chunked model.")
@click.option("--search", required=True, help="Its search, over frames.")
@click.option("--minutes", type=float, multiple=True, default=[5.0, 30.0], help="Lengths.")
@click.option("--offline", type=click.Path(path_type=Path), help="A model of whole utterances.")
@click.option("--offline-search", help="Its search.")
@click.option("--alone", is_flag=True, help="Measure one length in this process.")
def main(
    data: Path,
    name: str,
    run: Path,
    search: str,
    minutes: tuple[float, ...],
    offline: Path | None,
    offline_search: str | None,
    alone: bool,
) -> None:
    """Measures, and prints a table."""
    if alone:
        cuts = of_length(data, name, minutes[0])
        hear = hear_stream if offline is None else hear_each
        click.echo(json.dumps(hear(run, search, cuts)))
        return
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|", flush=True)
    given = ["--data", str(data), "--set", name]
    for length in minutes:
        words = [*given, "--minutes", str(length), "--run", str(run), "--search", search]
        print(line(f"{run.name}, {search}", "a recording", measure_alone(words)), flush=True)
    rows = [(run, search)]
    if offline is not None and offline_search is not None:
        rows.append((offline, offline_search))
    for model, found in rows:
        words = [*given, "--minutes", str(max(minutes)), "--run", str(model), "--search", found]
        each = measure_alone([*words, "--offline", str(model)])
        print(line(f"{model.name}, {found}", "utterances", each), flush=True)


if __name__ == "__main__":
    main()
