#!/usr/bin/env python3
"""CTC prefix beam search of asrkit against flashlight-text, without LM, on the same posteriors.

The posteriors are peaks of known labels over noise, some clear and some ambiguous between label and
blank. flashlight-text (`LexiconFreeDecoder`, C++, `pip install flashlight-text`) decodes one
utterance after the other, as it always does; asrkit decodes all of them together. Both use one
thread and sum over alignments, with the same beam and the same number of labels that may follow in
a frame; flashlight-text's beam threshold is infinite. For each round, the time per utterance, the
ratio, and the number of utterances with the same best labels are printed.

    python tools/benchmark/ctc_prefix_beam.py
    python tools/benchmark/ctc_prefix_beam.py --beam 10 --symbols 20 --rounds 5
"""

import statistics
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import click
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.models.interfaces import Encoded
from asrkit.scorers.interfaces import FrameScores
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch

Search = Callable[[Tensor], list[list[int]]]
EVERY, PEAK, NOISE = 4, 12.0, 1.0


def posteriors(utterances: int, frames: int, labels: int) -> Tensor:
    """Returns log-probabilities (B, T, V + 1), blank last: a label in every fourth frame."""
    torch.manual_seed(0)
    scores = NOISE * torch.randn(utterances, frames, labels + 1)
    scores[..., -1] += PEAK
    spoken = scores[:, ::EVERY]
    planted = torch.randint(0, labels, (*spoken.shape[:2], 1))
    spoken.scatter_add_(2, planted, torch.full(planted.shape, PEAK))
    spoken[..., -1] -= PEAK * torch.rand(spoken.shape[:2])
    return scores.log_softmax(-1)


class Given:
    """A head whose log-probabilities are the frames themselves."""

    def frame_scores(self, encoded: Encoded) -> FrameScores:
        """Returns the frames (B, T, V + 1)."""
        return FrameScores(encoded.frames, encoded.lengths)


def asrkit_search(beam: int, symbols: int | None) -> Search:
    """Returns asrkit's search: log-probabilities (B, T, V + 1) to labels."""
    search = CtcPrefixBeamSearch(beam, symbols=symbols).over({"ctc": Given()})

    def run(batch: Tensor) -> list[list[int]]:
        encoded = Encoded(batch, torch.full((len(batch),), batch.shape[1]))
        return [n_best[0].labels for n_best in search.run(encoded)]

    return run


def flashlight_search(beam: int, symbols: int) -> Search:
    """Returns flashlight-text's search: log-probabilities (B, T, V + 1) to labels."""
    from flashlight.lib.text.decoder import (
        CriterionType,
        LexiconFreeDecoder,
        LexiconFreeDecoderOptions,
        ZeroLM,
    )

    options = LexiconFreeDecoderOptions(
        beam_size=beam, beam_size_token=symbols, beam_threshold=1e9, lm_weight=0.0,
        sil_score=0.0, log_add=True, criterion_type=CriterionType.CTC,
    )  # fmt: skip

    def run(batch: Tensor) -> list[list[int]]:
        frames, entries = batch.shape[1:]
        blank = entries - 1
        decoder = LexiconFreeDecoder(options, ZeroLM(), blank, blank, [])  # no label is silence
        result = []
        for utterance in batch:
            best = decoder.decode(utterance.data_ptr(), frames, entries)[0]
            aligned = best.tokens[1:-1]  # a symbol per frame, between two of silence
            result.append([label for label, _ in groupby(aligned) if label != blank])
        return result

    return run


def seconds_of(search: Search, batch: Tensor) -> tuple[float, list[list[int]]]:
    """Returns the seconds per utterance, and the result."""
    start = time.perf_counter()
    found = search(batch)
    return (time.perf_counter() - start) / len(batch), found


@click.command(help=__doc__)
@click.option("--beam", default=10, show_default=True, help="Hypotheses kept per utterance.")
@click.option("--symbols", type=int, help="Labels that may follow in a frame; all if not given.")
@click.option("--utterances", default=16, show_default=True)
@click.option("--frames", default=250, show_default=True, help="Per utterance: 10 s of 40 ms.")
@click.option("--labels", default=500, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(
    beam: int, symbols: int | None, utterances: int, frames: int, labels: int, rounds: int
) -> None:
    """Prints times, ratios and how many utterances agree."""
    torch.set_num_threads(1)
    batch = posteriors(utterances, frames, labels)
    ours, theirs = asrkit_search(beam, symbols), flashlight_search(beam, symbols or labels + 1)
    ratios = []
    with torch.inference_mode():
        ours(batch)
        theirs(batch)
        for number in range(rounds):
            (own, found), (other, expected) = seconds_of(ours, batch), seconds_of(theirs, batch)
            ratios.append(other / own)
            same = sum(one == two for one, two in zip(found, expected, strict=True))
            click.echo(
                f"round {number + 1}: asrkit {1e3 * own:.1f} ms, flashlight-text "
                f"{1e3 * other:.1f} ms per utterance, {same} of {utterances} agree"
            )
    click.echo(
        f"asrkit is {statistics.median(ratios):.2f} x as fast "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
