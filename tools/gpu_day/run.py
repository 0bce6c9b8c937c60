#!/usr/bin/env python3
"""Runs the parts of a GPU day one after the other; if one fails, the others still run.

OUT/summary.txt has a line for each part: passed, FAILED or left out, seconds, and its numbers.
OUT/logs.txt has their output, OUT/PART.log that of the running one: few files, because they may
have to be copied elsewhere. Without a GPU everything runs in miniature, to check that it works.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

from asrkit.files import write_lines
from asrkit.utf8 import use_utf8
from tools.gpu_day.parts import PARTS, Day, Outcome
from tools.gpu_day.training import train_and_decode

RUNS: dict[str, Callable[[Day, Path], Outcome]] = {part.name: part.run for part in PARTS}
RUNS["training"] = train_and_decode


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(RUNS)))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for logs and results."
)
@click.option("--work", type=click.Path(path_type=Path), required=True, hidden=True)
@click.option("--pack", type=click.Path(path_type=Path), help="Folder made by `gpu_day.sh pack`.")
@click.option("--minutes", default=8.0, show_default=True, help="Duration of the training.")
@click.option(
    "--limit", default=540.0, show_default=True, help="Time limit of any other part in seconds."
)
@click.option(
    "--device", type=click.Choice(["cuda", "cpu"]), help="By default, a GPU if there is one."
)
@click.option(
    "--change", multiple=True, help="KEY=VALUE, a change of the training spec; repeatable."
)
def main(
    names: tuple[str, ...],
    out: Path,
    work: Path,
    pack: Path | None,
    minutes: float,
    limit: float,
    device: str | None,
    change: tuple[str, ...],
) -> None:
    """Runs the named parts, or all."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: PyTorch finds no GPU here")
    out.mkdir(parents=True, exist_ok=True)
    day = Day(device, out.resolve(), work.resolve(), pack, minutes, limit, change)
    print(f"on {torch.cuda.get_device_name() if device == 'cuda' else 'the CPU, in miniature'}")
    rows = []
    for name in names or RUNS:
        rows.append(row(name, day))
        write_lines(out / "summary.txt", rows)
    print("\n".join(["", *rows]))
    sys.exit(int(any(" FAILED " in line for line in rows)))


def row(name: str, day: Day) -> str:
    """Runs a part; returns its line of the summary."""
    log = day.out / f"{name}.log"
    start = time.monotonic()
    try:
        outcome = RUNS[name](day, log)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        outcome = Outcome("FAILED", f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - start
    line = f"{name:<20} {outcome.state:<8} {seconds:7.1f} s  {outcome.numbers}"
    print(line, flush=True)
    if log.is_file():
        text = log.read_text(encoding="utf-8", errors="replace")
        with (day.out / "logs.txt").open("a", encoding="utf-8") as logs:
            logs.write(f"== {line}\n{text}\n")
        log.unlink()
        if outcome.state == "FAILED":
            print("\n".join(f"    {each}" for each in text.split("\n")[-15:]), flush=True)
    return line


if __name__ == "__main__":
    use_utf8()
    main()
