#!/usr/bin/env python3
"""The hybrid chain on real speech: seconds of Gaussian mixtures, memory of graphs, rate of search.

    python tools/benchmark/hybrid.py mixtures conf/gmm/mini.yaml --data data/mini --jobs 2
    python tools/benchmark/hybrid.py graph --run run/gmm-mini/sat --data data/mini --entropy 1e-7
    python tools/benchmark/hybrid.py search --run run/gmm-mini/sat --set dev-clean-mini

`mixtures` trains all stages in a folder of its own. `graph` builds a decoding graph (HCLG) in a
copy of the run and prints its size, seconds, and the most memory that the process had. `search`
decodes utterances of RUN/data, whose features are ready, through a graph of the run in one thread,
scores given: the real-time factor is that of the search and its lattices alone.
"""

import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.data.feature_sets import read_features
from asrkit.data.manifests import open_set
from asrkit.experiment.gmm import gmm
from asrkit.experiment.graph import graph as make_graph
from asrkit.experiment.runs import open_run
from asrkit.run_folder import RunFolder
from asrkit.wfst.graph_file import read_graph
from asrkit.wfst.token_passing import Pruning, SearchGraph, TokenPassing
from asrkit.wfst.word_lattice import n_best

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Measure a part of the hybrid chain."""


@main.command()
@click.argument("spec", type=click.Path(exists=True, path_type=Path))
@click.option("--data", type=FOLDER, required=True)
@click.option("--jobs", type=int, default=1)
def mixtures(spec: Path, data: Path, jobs: int) -> None:
    """Train the mixtures of SPEC, all stages."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        report = gmm(spec, [], data, Path(folder, "gmm"), jobs)
        seconds = time.perf_counter() - began
    for stage, facts in report.stages.items():
        print(stage, facts)
    print(f"all stages: {seconds:.0f} s with {jobs} processes")


@main.command()
@click.option("--run", type=FOLDER, required=True, help="With tied states.")
@click.option("--data", type=FOLDER, required=True)
@click.option("--arpa", default="words")
@click.option("--lexicon", default="words")
@click.option("--entropy", type=float, default=0.0)
def graph(run: Path, data: Path, arpa: str, lexicon: str, entropy: float) -> None:
    """Build a decoding graph of words."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "run")
        shutil.copytree(
            run, copy, ignore=shutil.ignore_patterns("data", "graph", "decode", "align")
        )
        began = time.perf_counter()
        report = make_graph(copy, data, arpa, "words", entropy, lexicon)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("\n".join(report.lines()))
    print(f"{seconds:.0f} s, at most {peak / 1e9:.1f} GB")


@main.command()
@click.option("--run", type=FOLDER, required=True)
@click.option("--set", "name", required=True, help="Of RUN/data.")
@click.option("--head", default="states")
@click.option("--graph", "graph_name", default="words")
@click.option("--scale", type=float, default=0.1, help="Of the states' scores.")
@click.option("--beam", type=float, default=13.0)
@click.option("--max-active", type=int, default=7000)
@click.option("--lattice-beam", type=float, default=8.0)
@click.option("--utterances", type=int, default=40)
@click.option("--rounds", type=int, default=3)
def search(
    run: Path, name: str, head: str, graph_name: str, scale: float, utterances: int, rounds: int,
    **limits: Any,
) -> None:  # fmt: skip
    """Decode utterances whose scores are given."""
    torch.set_num_threads(1)
    made = read_graph(RunFolder(run).graph(graph_name))
    walked = made.graph
    scores = [scale * rows for rows in _scores(run, name, head, utterances, len(made.symbols))]
    pruning = Pruning(limits["beam"], limits["max_active"], limits["lattice_beam"])
    _decode(walked, pruning, scores[:1])  # compiles
    seconds = sum(map(len, scores)) * open_run(run).speech_model("average")[0].features.frame_shift
    rates = []
    for number in range(rounds):
        began = time.process_time()
        lost = _decode(walked, pruning, scores)
        rates.append((time.process_time() - began) / seconds)
        print(f"round {number + 1}: RTF {rates[-1]:.4f}, {lost} without a path")
    print(
        f"{len(scores)} utterances, {seconds:.0f} s of speech, beam {pruning.beam:g}: RTF "
        f"{statistics.median(rates):.4f} ({min(rates):.4f} to {max(rates):.4f}), one thread"
    )


def _scores(run: Path, name: str, head: str, utterances: int, symbols: int) -> list[np.ndarray]:
    """Returns the scores (T, S) of the first utterances of a set."""
    model, _ = open_run(run).speech_model("average")
    states: Any = model.named_heads()[head]
    found = []
    for cut in list(open_set(RunFolder(run).features, [name]))[:utterances]:
        frames = torch.from_numpy(read_features(cut))[None]  # (1, T, F)
        with torch.inference_mode():
            scored = states.state_scores(model.encode(frames, torch.tensor([frames.shape[1]])))
        found.append(scored.log_probs[0, :, :symbols].float().numpy())
    return found


def _decode(graph: SearchGraph, pruning: Pruning, scores: list[np.ndarray]) -> int:
    """Decodes utterances; returns how many have no path."""
    lost = 0
    for rows in scores:
        walk = TokenPassing(graph, pruning)
        walk.step(rows)
        lattice = walk.end()
        lost += lattice is None or not n_best(lattice, 1)
    return lost


if __name__ == "__main__":
    main()
