"""Compares what ESPnet2 and an imported model found in the same set.

    python tools/parity/espnet_compare.py run/espnet/decode/joint/test exp/test/1best_recog

The first folder is of `asrkit decode`, the second of `espnet2.bin.asr_inference`. Prints the word
error rates of both, how many best hypotheses have the same labels, the largest difference of their
scores, and each utterance where they differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[2]))

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.run_files import NbestLine, read_nbest
from asrkit.run_folder import DecodedSet
from asrkit.scoring.edits import Errors, count_errors
from asrkit.utf8 import use_utf8


@dataclass(frozen=True)
class Found:
    """What ESPnet found in an utterance.

    Args:
        text: The words.
        score: Of the best hypothesis.
    """

    text: str
    score: float


@click.command()
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
def main(ours: Path, theirs: Path) -> None:
    """Compares OURS with THEIRS."""
    every = read_nbest(DecodedSet(ours).nbest)
    found = _read(theirs)
    lines = [line for line in every if line.id in found]
    if not lines:
        raise UserError(f"{theirs} has none of the utterances of {ours}")
    if len(lines) < len(every):
        click.echo(f"{len(every) - len(lines)} of {len(every)} are not in {theirs}: left out")
    texts = {"asrkit": [line.text for line in lines], "ESPnet": [found[x.id].text for x in lines]}
    for name, each in texts.items():
        errors = [
            count_errors(x.reference.split(), t.split()) for x, t in zip(lines, each, strict=True)
        ]
        total = sum(errors, Errors())
        click.echo(f"{name}: WER {total.rate:.2f} % ({total.total} of {total.words} words)")
    same = [line for line in lines if line.text == found[line.id].text]
    click.echo(f"the same words in {len(same)} of {len(lines)} utterances")
    gaps = [abs(_best(line) - found[line.id].score) for line in same]
    click.echo(f"largest difference of their scores: {max(gaps, default=0.0):.5f}")
    for line in lines:
        if line not in same:
            other = found[line.id]
            there = f"there {other.score:.4f} {other.text!r}"
            click.echo(f"{line.id}: {_best(line):.4f} {line.text!r}, {there}")


def _best(line: NbestLine) -> float:
    return line.hypotheses[0].score if line.hypotheses else float("nan")


def _read(folder: Path) -> Mapping[str, Found]:
    """Returns what ESPnet wrote into a folder of best hypotheses, by utterance."""
    texts, scores = (_column(folder / name) for name in ("text", "score"))
    return {
        name: Found(
            " ".join(text.split()),
            float(re.sub(r"[^\d.e+-]", "", scores[name].replace("tensor", ""))),
        )
        for name, text in texts.items()
    }


def _column(path: Path) -> dict[str, str]:
    parts = [line.partition(" ") for line in read_lines(path) if line]
    return {name: value for name, _, value in parts}


if __name__ == "__main__":
    use_utf8()
    main()
