#!/usr/bin/env python3
"""The hybrid chain on real speech: seconds of Gaussian mixtures, memory of graphs, rate of search.

    python tools/benchmark/hybrid.py mixtures conf/gmm/mini.yaml --data data/mini --jobs 2
    python tools/benchmark/hybrid.py graph --run run/gmm-mini/sat --data data/mini --entropy 1e-7
    python tools/benchmark/hybrid.py search --run run/gmm-mini/sat --set dev-clean-mini
    python tools/benchmark/hybrid.py bars conf/gmm/mini.yaml --data data/mini --text words.txt.gz

`bars` does all of this with language models of its own, of 20,000 and 60,000 words, and prints a
table of what was measured and what it may be at most; --run names mixtures that were trained
before. `mixtures` trains all stages in a folder of its own. `graph` builds a decoding graph (HCLG)
in a copy of the run and prints its size, seconds, and the most memory that the process had.
`search` decodes utterances of RUN/data, whose features are ready, through a graph of the run in one
thread, scores given: the real-time factor is that of the search and its lattices alone.
"""

import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.data.feature_sets import read_features
from asrkit.data.manifests import open_set, set_names
from asrkit.data_folder import DataFolder
from asrkit.experiment.gmm import gmm
from asrkit.experiment.gmm_features import REFERENCE, features
from asrkit.experiment.graph import graph as make_graph
from asrkit.experiment.ngram import ngram
from asrkit.experiment.runs import open_run
from asrkit.files import read_lines, write_lines
from asrkit.run_folder import RunFolder
from asrkit.wfst.graph_file import read_graph
from asrkit.wfst.token_passing import Pruning, SearchGraph, TokenPassing
from asrkit.wfst.word_lattice import n_best

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Measure a part of the hybrid chain."""


@main.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, required=True)
@click.option("--jobs", type=int, default=1)
def mixtures(spec: Path, data: Path, jobs: int) -> None:
    """Train the mixtures of SPEC, all stages."""
    with tempfile.TemporaryDirectory() as folder:
        told, seconds = _train(spec, data, Path(folder, "gmm"), jobs)
    print("\n".join(told))
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
        copy = _copied(run, Path(folder, "run"))
        told, seconds, peak = _build(copy, data, arpa, lexicon, entropy)
    print("\n".join(told))
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
    pruning = Pruning(limits["beam"], limits["max_active"], limits["lattice_beam"])
    told, _ = _searched(run, name, head, graph_name, scale, utterances, rounds, pruning)
    print("\n".join(told))


@main.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, required=True)
@click.option("--text", type=FILE, help="Sentences for those language models that DATA lacks.")
@click.option("--set", "name", default="dev-clean-mini", help="That is searched.")
@click.option("--run", type=FOLDER, help="Stage sat of mixtures that were trained before.")
@click.option("--lexicon", default="words")
@click.option("--entropy", type=float, default=1e-7)
@click.option("--utterances", type=int, default=40)
@click.option("--only", type=click.Choice(["search", "graph"]), help="With --run.")
@click.option("--jobs", type=int, default=2)
def bars(
    spec: Path, data: Path, text: Path | None, name: str, run: Path | None, lexicon: str,
    entropy: float, utterances: int, only: str | None, jobs: int,
) -> None:  # fmt: skip
    """Measure mixtures of SPEC, a graph of 60,000 words, and search among 20,000."""
    if only and run is None:
        raise click.UsageError("--only needs --run: mixtures to search or to build with")
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = _with_models(data, Path(folder, "data"), text)
        if run is None:
            _, seconds = _apart(_train, spec, place, Path(folder, "gmm"), jobs)
            rows.append((f"mixtures to sat, {jobs} cores", f"{seconds / 60:.1f} min", "20 min"))
            run = Path(folder, "gmm", "sat")
        if name not in set_names(RunFolder(run).features):
            features(run, place, name, REFERENCE)
        copy = _copied(run, Path(folder, "run"))
        (copy / "data").symlink_to((run / "data").resolve())
        if only != "graph":
            _apart(_build, copy, place, "w20k", lexicon, entropy)
            of_search = name, "states", "w20k", 0.1, utterances, 1, Pruning(13.0, 7000, 8.0)
            told, rates = _apart(_searched, copy, *of_search)
            print("\n".join(told))
            rows.append(("search, 20,000 words, beam 13, one core", f"RTF {rates[0]:.3f}", "0.1"))
        if only != "search":
            told, seconds, peak = _apart(_build, copy, place, "w60k", lexicon, entropy)
            print("\n".join(told))
            found = f"{peak / 1e9:.1f} GB, {seconds:.0f} s"
            rows.append(("graph of 60,000 words", found, "8 GB"))
    for what, measured, most in [("", "measured", "at most"), *rows]:
        print(f"{what:42} {measured:>16} {most:>8}")


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process of its own, whose memory is measured."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _train(spec: Path, data: Path, run: Path, jobs: int) -> tuple[list[str], float]:
    """Returns what is told of all stages of mixtures, and their seconds."""
    began = time.perf_counter()
    report = gmm(spec, [], data, run, jobs)
    seconds = time.perf_counter() - began
    return [f"{stage} {facts}" for stage, facts in report.stages.items()], seconds


def _copied(run: Path, copy: Path) -> Path:
    """Copies a run without its results."""
    ignored = shutil.ignore_patterns("data", "graph", "decode", "align")
    return Path(shutil.copytree(run, copy, ignore=ignored))


def _build(
    run: Path, data: Path, arpa: str, lexicon: str, entropy: float
) -> tuple[list[str], float, float]:
    """Returns what is told of a graph, its seconds, and the most memory of this process."""
    began = time.perf_counter()
    report = make_graph(run, data, arpa, arpa, entropy, lexicon)
    seconds = time.perf_counter() - began
    return report.lines(), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _with_models(data: Path, place: Path, text: Path | None) -> Path:
    """Returns a data folder as another one, with language models of most frequent words."""
    place.mkdir()
    for path in data.iterdir():
        if path.name != "lm":
            (place / path.name).symlink_to(path.resolve())
    for words in (20_000, 60_000):
        name = f"w{words // 1000}k"
        known, own = DataFolder(data).ngram(name), DataFolder(place).ngram(name)
        own.parent.mkdir(exist_ok=True)
        if known.is_file():
            own.symlink_to(known.resolve())
        elif text is None:
            raise click.UsageError(f"{known} is missing: give --text, of which it is made")
        else:
            cut = place / f"{name}.txt"
            _cut(text, cut, words)
            ngram(place, ["train"], [cut], 3, "words", name)
    return place


def _cut(text: Path, out: Path, words: int) -> None:
    """Writes those sentences that have nothing but the most frequent words."""
    counts = Counter(word for line in read_lines(text) for word in line.split())
    kept = {word for word, _ in counts.most_common(words)}
    write_lines(out, (line for line in read_lines(text) if kept.issuperset(line.split())))


def _searched(
    run: Path, name: str, head: str, graph_name: str, scale: float, utterances: int, rounds: int,
    pruning: Pruning,
) -> tuple[list[str], list[float]]:  # fmt: skip
    """Returns what is told of a search, and its real-time factors, median first."""
    torch.set_num_threads(1)
    made = read_graph(RunFolder(run).graph(graph_name))
    walked = made.graph
    scores = [scale * rows for rows in _scores(run, name, head, utterances, len(made.symbols))]
    _decode(walked, pruning, scores[:1])  # compiles
    seconds = sum(map(len, scores)) * open_run(run).speech_model("average")[0].features.frame_shift
    rates, told = [], []
    for number in range(rounds):
        began = time.process_time()
        lost = _decode(walked, pruning, scores)
        rates.append((time.process_time() - began) / seconds)
        told.append(f"round {number + 1}: RTF {rates[-1]:.4f}, {lost} without a path")
    told.append(
        f"{len(scores)} utterances, {seconds:.0f} s of speech, beam {pruning.beam:g}: RTF "
        f"{statistics.median(rates):.4f} ({min(rates):.4f} to {max(rates):.4f}), one thread"
    )
    return told, [statistics.median(rates), *rates]


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
