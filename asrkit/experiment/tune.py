"""`asrkit tune`: weights of scorers, fitted on n-best lists and confirmed by decoding."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from asrkit.config.build import build
from asrkit.config.yaml_loader import load
from asrkit.decoding.search import Search
from asrkit.errors import UserError
from asrkit.experiment.decode import JUDGEMENTS, decode_into, search_node
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import available_device
from asrkit.experiment.system import System
from asrkit.files import replaced, write_text
from asrkit.scoring.weights import Pool, best_weights, pool
from asrkit.scoring.wer import Score, read_nbest, score_run

NBEST = 30
LEAST = 0.001
"""The weight of a scorer that would better be left out."""


@dataclass(frozen=True)
class Trial:
    """One decode: its weights, and its WER in percent with interval."""

    weights: dict[str, float]
    wer: float
    low: float
    high: float


def tune(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    ranges: Mapping[str, tuple[float, float]],
    decodes: int = 3,
    checkpoint: str = "average",
    spec: Path | None = None,
) -> tuple[Path, list[Trial]]:
    """Finds weights on a dev set; writes RUN/tune/SEARCH.yaml, a table and a picture.

    The set is decoded with the weights of the spec; all n-best lists so far tell the weights of
    the next decode, and the weights of the best decode are taken. Only weights in `ranges` change.
    The best decode becomes the result of this search and set, in RUN/decode/SEARCH/SET. A search
    that has nothing to tune is decoded once, and written as it is.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: The set to tune on; never one that is reported on.
        search: Name of a search below `decoding:`.
        ranges: Lowest and highest weight of the scorers to tune; if empty, those of the spec's
            `tuning:` whose names the search has, but for its first scorer: it sets the scale.
        decodes: How many decodes follow the first.
        checkpoint: "average", "best", "last" or a path.
        spec: YAML file whose `decoding:` replaces that of the run.

    Returns:
        The file to give to `asrkit decode --spec`, and all decodes.

    Raises:
        UserError: If a scorer to tune is none of the search's, or the spec names none.
    """
    device = available_device()
    system = System(run, data, checkpoint, device)
    node = search_node(system.resolved, search, spec, ())
    scorers = node.get("scorers") if isinstance(node, dict) else None
    unknown = [name for name in ranges if name not in (scorers or {})]
    if not scorers or unknown:
        raise UserError(
            f"search {search!r} has no scorer {unknown[0] if unknown else ''!r} to tune; it has "
            f"{', '.join(scorers or [])}"
        )
    ranges = ranges or ranges_of(spec, list(scorers))
    record_command(run)
    path = run / "tune" / f"{search}.yaml"
    weights = kept({name: weight_of(entry) for name, entry in scorers.items()}, ranges)
    length_norm = float(node.get("length_norm", 0.0))
    trials: list[Trial] = []
    found: list[list[dict[str, Any]]] = []
    gathered: Pool | None = None
    for number in range(decodes + 1 if ranges else 1):
        out = run / "tune" / search / str(number)
        score = _decoded(out, system, with_weights(node, weights), set_name, search)
        trials.append(Trial(dict(weights), score.wer, score.low, score.high))
        found.append(read_nbest(out / "nbest.jsonl"))
        if ranges:
            gathered = pool(found, list(weights))
            chosen, _ = best_weights(gathered, weights, ranges, length_norm, seed=number)
            weights = kept(chosen, ranges)
        if any(trial.weights == weights for trial in trials):
            break
    best = min(trials, key=lambda trial: trial.wer)
    write_text(path, yaml.safe_dump({"decoding": {search: with_weights(node, best.weights)}}))
    if gathered is not None:
        written = json.dumps([vars(trial) for trial in trials], indent=2)
        write_text(path.with_suffix(".json"), written)
        plot_surface(gathered, best.weights, ranges, length_norm, path.with_suffix(".png"))
    else:
        path.with_suffix(".json").unlink(missing_ok=True)
    publish(run / "tune" / search / str(trials.index(best)), run / "decode" / search / set_name)
    return path, trials


def _decoded(out: Path, system: System, node: Any, set_name: str, search: str) -> Score:
    chosen = build(Search, node, f"decoding.{search}")
    system.prepare(chosen)
    decode_into(out, system, node, chosen, set_name, max_hypotheses=NBEST)
    return score_run(out / "nbest.jsonl", out)


def publish(decoded: Path, out: Path) -> None:
    """Copies a decode to where `asrkit decode` would have put it, still to be scored.

    Args:
        decoded: Folder of the decode.
        out: RUN/decode/SEARCH/SET.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in JUDGEMENTS:
        (out / name).unlink(missing_ok=True)
    for name in ("search.json", "summary.json", "nbest.jsonl"):
        with replaced(out / name) as partial:
            shutil.copyfile(decoded / name, partial)


def kept(
    weights: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Returns weights of which none is 0: those to tune are nearly 0 instead, others are left out.

    A weight of 0 leaves a scorer out, and with it the scores that tell better weights.
    """
    nearly = {name: -LEAST if low < 0 else LEAST for name, (low, _) in ranges.items()}
    found = {name: weight or nearly.get(name, 0.0) for name, weight in weights.items()}
    return {name: weight for name, weight in found.items() if weight}


def ranges_of(spec: Path | None, scorers: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Returns the ranges that a spec's `tuning:` has for a search's scorers, the first left out.

    Raises:
        UserError: If there is no such part, or a range is none.
    """
    found = None if spec is None else load(spec).tree.get("tuning")
    if not isinstance(found, dict):
        raise UserError(
            "nothing says which weights to tune: give --vary SCORER=LOW:HIGH, or a --spec with "
            "`tuning: {SCORER: [LOW, HIGH]}`"
        )
    ranges = {}
    for name in scorers[1:]:
        if name in found:
            ranges[name] = _checked(found[name], f"{spec}: tuning.{name}")
    return ranges


def _checked(ends: Any, where: str) -> tuple[float, float]:
    numbers = isinstance(ends, list) and all(isinstance(end, int | float) for end in ends)
    if not numbers or len(ends) != 2 or ends[0] > ends[1]:
        raise UserError(f"{where}: expected [LOW, HIGH], such as [0.0, 1.0], got {ends}")
    return float(ends[0]), float(ends[1])


def weight_of(entry: Any) -> float:
    """Returns the weight of a scorer's spec node."""
    return float(entry["weight"] if isinstance(entry, dict) else entry)


def with_weights(node: Any, weights: Mapping[str, float]) -> Any:
    """Returns a search's spec node with other weights."""
    changed = deepcopy(node)
    for name, weight in weights.items():
        if isinstance(changed["scorers"][name], dict):
            changed["scorers"][name]["weight"] = weight
        else:
            changed["scorers"][name] = weight
    return changed


def plot_surface(
    found: Pool,
    weights: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
    length_norm: float,
    path: Path,
) -> None:
    """Draws the WER over one or two weights, the others at their best, from the n-best lists."""
    from matplotlib.figure import Figure

    names = list(ranges)[:2]
    axes = [np.linspace(*ranges[name], 25) for name in names]
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    plot = figure.add_subplot()
    if len(names) == 1:
        rates = [found.rate({**weights, names[0]: x}, length_norm) for x in axes[0]]
        plot.plot(axes[0], rates)
        plot.axvline(weights[names[0]], linestyle=":")
        plot.set_ylabel("WER in % on the n-best lists")
    else:
        grid = np.array(
            [
                [found.rate({**weights, names[0]: x, names[1]: y}, length_norm) for x in axes[0]]
                for y in axes[1]
            ]
        )
        shown = plot.contourf(axes[0], axes[1], grid, levels=20, cmap="viridis_r")
        figure.colorbar(shown, label="WER in % on the n-best lists")
        plot.plot(weights[names[0]], weights[names[1]], "r+", markersize=12)
        plot.set_ylabel(f"weight of {names[1]}")
    plot.set_xlabel(f"weight of {names[0]}")
    with replaced(path) as partial:
        figure.savefig(partial, dpi=120)
