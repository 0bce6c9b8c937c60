#!/usr/bin/env python3
"""Joint CTC/attention decoding of asrkit against ESPnet: same sizes, same utterances, beam 10.

The models of train_step.py with random weights decode random features of LibriSpeech's lengths.
Random models end nowhere sensible, so end of sentence is made impossible on both sides and every
hypothesis ends at 0.2 labels per encoder frame, about LibriSpeech's with 500 subwords. That leaves
out when a search notices that it is done; all else is measured, encoder included. ESPnet decodes
utterance by utterance, as its Speech2Text does, with the batched beam search that it chooses;
asrkit decodes batches of utterances. Both look at 15 candidates per hypothesis with CTC.

    python -m tools.benchmark.decode compare --espnet-python /path/to/venv/bin/python

alternates the two and prints utterances per second, real-time factors, and the ratio.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tools.benchmark.train_step import FEATURES, LABELS, asrkit_step, espnet_step

BEAM, CTC_WEIGHT, LABELS_PER_FRAME = 10, 0.3, 0.2
IMPOSSIBLE = -1e4
ROOT = Path(__file__).resolve().parents[2]


def random_utterances(count: int) -> list[Tensor]:
    """Returns features (T, F) of utterances of 2 to 20 s, half of them below 6 s."""
    torch.manual_seed(0)
    seconds = (6.0 * torch.exp(0.6 * torch.randn(count))).clamp(2.0, 20.0)
    return [torch.randn(int(100 * s), FEATURES) for s in seconds.tolist()]


def decode_asrkit(utterances: list[Tensor], batch_seconds: float) -> list[int]:
    """Decodes batches of similar lengths; returns how many labels each utterance got."""
    from asrkit.decoding.label_sync import LabelSyncSearch
    from asrkit.models.heads.attention import AttentionHead

    model, _ = asrkit_step()
    encoder, ctc, attention = model.eval().children()
    assert isinstance(attention, AttentionHead)
    attention.decoder.output.bias.data[-1] = IMPOSSIBLE  # type: ignore[union-attr,operator]
    search = LabelSyncSearch(
        {"attention": 1 - CTC_WEIGHT, "ctc": CTC_WEIGHT}, BEAM, max_length_ratio=LABELS_PER_FRAME
    )
    found = []
    for batch in batches_by_length(utterances, batch_seconds):
        lengths = torch.tensor([len(u) for u in batch])
        encoded = encoder(torch.nn.utils.rnn.pad_sequence(batch, batch_first=True), lengths)
        results = search.run({"ctc": ctc, "attention": attention}, encoded)  # type: ignore[dict-item]
        found += [len(hypotheses[0].labels) for hypotheses in results]
    return found


def batches_by_length(utterances: list[Tensor], seconds: float) -> list[list[Tensor]]:
    """Sorts utterances by length and packs them into batches of so many seconds with padding."""
    batches: list[list[Tensor]] = [[]]
    for utterance in sorted(utterances, key=len, reverse=True):
        longest = len(batches[-1][0]) if batches[-1] else 0
        if longest * (len(batches[-1]) + 1) > 100 * seconds:
            batches.append([])
        batches[-1].append(utterance)
    return batches


def decode_espnet(utterances: list[Tensor]) -> list[int]:
    """Decodes one by one, as Speech2Text does; returns how many labels each utterance got."""
    from espnet.nets.batch_beam_search import BatchBeamSearch
    from espnet.nets.scorers.ctc import CTCPrefixScorer

    model: Any = espnet_step()[0].eval()
    model.decoder.output_layer.bias.data[model.eos] = IMPOSSIBLE
    search = BatchBeamSearch(
        scorers={"decoder": model.decoder, "ctc": CTCPrefixScorer(model.ctc, model.eos)},
        weights={"decoder": 1 - CTC_WEIGHT, "ctc": CTC_WEIGHT},
        beam_size=BEAM,
        vocab_size=LABELS + 2,
        sos=model.sos,
        eos=model.eos,
        token_list=model.token_list,
        pre_beam_score_key="full",
    ).eval()
    found = []
    for utterance in utterances:
        encoded, _ = model.encode(utterance[None], torch.tensor([len(utterance)]))
        best = search(encoded[0], maxlenratio=LABELS_PER_FRAME, minlenratio=LABELS_PER_FRAME)[0]
        found.append(len(best.yseq) - 2)  # without start and end of sentence
    return found


def measure(toolkit: str, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the speed of one toolkit on all utterances, after decoding two as a warm-up."""
    torch.set_num_threads(options.threads)
    utterances = random_utterances(options.utterances)

    def run(some: list[Tensor]) -> list[int]:
        if toolkit == "asrkit":
            return decode_asrkit(some, options.batch_seconds)
        return decode_espnet(some)

    with torch.inference_mode():
        run(utterances[:2])
        start = time.perf_counter()
        labels = run(utterances)
        seconds = time.perf_counter() - start
    return {
        "toolkit": toolkit,
        "utterances_per_second": round(len(utterances) / seconds, 3),
        "rtf": round(seconds / sum(len(u) / 100 for u in utterances), 4),
        "labels": sum(labels),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def compare(options: argparse.Namespace) -> None:
    """Runs the two in turn and prints their speeds and the ratio of each round."""
    ratios = []
    for number in range(options.rounds):
        rate = {}
        for toolkit, python in (("asrkit", sys.executable), ("espnet", options.espnet_python)):
            command = [python, "-m", "tools.benchmark.decode", "measure", toolkit]
            for name in ("threads", "utterances", "batch_seconds"):
                command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            if done.returncode:
                sys.exit(f"{toolkit} failed:\n{done.stderr[-2000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            rate[toolkit] = found["utterances_per_second"]
            print(f"round {number + 1}: {found}", flush=True)
        ratios.append(rate["asrkit"] / rate["espnet"])
    low, high = min(ratios), max(ratios)
    print(f"asrkit / espnet: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("measure")
    one.add_argument("toolkit", choices=["asrkit", "espnet"])
    both = verbs.add_parser("compare")
    both.add_argument("--espnet-python", required=True)
    both.add_argument("--rounds", type=int, default=3)
    for verb in (one, both):
        verb.add_argument("--threads", type=int, default=2)
        verb.add_argument("--utterances", type=int, default=32)
        verb.add_argument("--batch-seconds", type=float, default=120.0)
    options = parser.parse_args()
    if options.verb == "measure":
        print(json.dumps(measure(options.toolkit, options)))
    else:
        compare(options)


if __name__ == "__main__":
    main()
