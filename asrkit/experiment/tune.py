"""`asrkit tune`: weights of scorers, fitted on n-best lists and confirmed by decoding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asrkit.config.build import build
from asrkit.config.yaml_loader import Spec
from asrkit.data.open_sets import OpenSets
from asrkit.data.transcripts import with_transcripts
from asrkit.experiment.decode import decode_into
from asrkit.experiment.decode_spec import chosen_search
from asrkit.experiment.decoded_sets import require_whole
from asrkit.experiment.lattice_lists import (
    from_lattices,
    has_lattices,
    in_other_order,
    relist,
    share_lattices,
)
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import available_device
from asrkit.experiment.system import System
from asrkit.experiment.tuned_values import (
    Ranges,
    is_setting,
    kept,
    ranges_of,
    spread,
    values_of,
    with_values,
)
from asrkit.experiment.tuning_pictures import plot_surface, plot_trials
from asrkit.files import copy_file, write_text
from asrkit.owners import owned
from asrkit.run_files import NbestLine, Trial, read_nbest
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.scoring.weights import Decoded, Pool, best_weights, pool
from asrkit.scoring.wer import Score, score_run, transcribed
from asrkit.search.graph import GraphSearch
from asrkit.search.lengths import LengthNorm
from asrkit.search.search import Search
from asrkit.search.two_pass import TwoPassSearch

NBEST = 30
DEEP = 1000
"""Most hypotheses of an utterance that are written where they are reordered for other weights."""
FROM_LATTICES = 100
"""Most hypotheses of an utterance that a lattice is asked for."""
ON_LATTICES = 10
"""How often at least weights are changed where that takes no other decode."""


@dataclass(frozen=True)
class TuneReport:
    """What tuning has found.

    Args:
        spec: The file to give to `asrkit decode --spec`.
        trials: All decodes.
        best: Number of the one with the lowest WER.
    """

    spec: Path
    trials: list[Trial]
    best: int


def tune(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    ranges: Ranges,
    decodes: int = 3,
    checkpoint: str = "average",
    spec: Path | None = None,
    overrides: Sequence[str] = (),
) -> TuneReport:
    """Finds weights on a dev set; writes RUN/tune/SEARCH.yaml, a table and a picture.

    The set is decoded with the weights of the spec; the n-best lists so far tell the weights of
    the next decode, and those of the best decode are taken. Only what is in `ranges` changes. Other
    numbers of a scorer's entry (`ctc.prior_scale`) are tried by two thirds of the decodes, evenly
    over their range, because n-best lists can't rank them. Where a graph search gives lattices, the
    lists of other weights come from them, and the second pass over a graph search is but ordered
    again: neither decodes again. The best decode becomes the
    result of this search and set, in RUN/decode/SEARCH/SET, with its lattices. A search that has
    nothing to tune is decoded once, and written as it is.

    Args:
        run: Folder of a trained run.
        data: Data folder.
        set_name: The set to tune on; never one that is reported on.
        search: Name of a search below `decoding:`.
        ranges: Lowest and highest value of the weights (`lm`) and settings (`ctc.prior_scale`) to
            tune; if empty, those of the spec's `tuning:` whose names the search has, but for the
            weight of its first scorer: it sets the scale.
        decodes: How many decodes follow the first.
        checkpoint: "average", "best", "last" or a path.
        spec: YAML file whose `decoding:` replaces that of the run.
        overrides: Such as data.decoding.max_seconds=600.

    Returns:
        The file to give to `asrkit decode --spec`, all decodes, and which is the best.

    Raises:
        UserError: If the search lacks something to tune, or the spec names nothing.
    """
    device = available_device()
    sets = OpenSets()
    with_transcripts(sets.open(data, [set_name]), set_name, "weights")
    system = System(run, data, checkpoint, device, overrides)
    found = chosen_search(Spec(system.resolved), search, spec)
    untuned = build(Search, found.spec, found.path)
    on_graph = untuned.first if isinstance(untuned, TwoPassSearch) else untuned
    relisting = isinstance(on_graph, GraphSearch) and (
        on_graph is not untuned or on_graph.gives_lattices
    )
    node = found.node
    ranges = ranges or ranges_of(spec, node)
    values = values_of(node, list(ranges))
    record_command(run)
    folder = RunFolder(run)
    path, trial = folder.tuned(search), folder.trials(search)
    decoded = folder.decoded_set(search, set_name).folder
    work = f"tuning of {search}"
    with owned(trial, work), owned(decoded, work):
        history = _History(ranges, _norm_of(node), decodes)
        point = history.start(values)
        number, most = 0, decodes + 1 if ranges else 1
        sources: list[Path] = []  # where the lattices of each trial are, if there are some
        while number < most:
            out, tried = trial / str(number), with_values(node, point)
            like = history.decoded_like(point) if relisting else None
            sources.append(out if like is None else trial / str(like))
            if like is not None:
                most = max(most, 1 + ON_LATTICES)
                before = history.trials[like].weights
                score = _relisted(sources[-1], out, tried, before, system, sets)
            else:
                count = DEEP if relisting and on_graph is not untuned else NBEST
                score = _decoded(out, system, tried, data, set_name, sets, search, count)
            history.add(point, score, transcribed(read_nbest(DecodedSet(out).nbest)))
            point, number = history.following(), number + 1
            if history.knows(point):
                break
        best, trials = history.best, history.trials
        chosen = with_values(node, trials[best].weights)
        write_text(path, yaml.safe_dump({"decoding": {search: chosen}}))
        path.with_suffix(".json").unlink(missing_ok=True)
        if ranges:
            written = json.dumps([vars(trial) for trial in trials], indent=2)
            write_text(path.with_suffix(".json"), written)
            history.plot(path.with_suffix(".png"))
        publish(trial / str(best), decoded)
        if sources[best] != trial / str(best):
            share_lattices(sources[best], decoded)
    return TuneReport(path, trials, best)


class _History:
    """All decodes so far, and what they tell of the next one.

    Args:
        ranges: Of weights and settings.
        norm: Of the search.
        decodes: How many follow the first.
    """

    def __init__(self, ranges: Ranges, norm: LengthNorm, decodes: int) -> None:
        self.weights = {n: ends for n, ends in ranges.items() if not is_setting(n)}
        self.settings = {n: ends for n, ends in ranges.items() if is_setting(n)}
        self.norm = norm
        self.exploring = decodes - decodes // 3 if self.settings else 0
        self.trials: list[Trial] = []
        self.decoded: list[Decoded] = []

    @property
    def best(self) -> int:
        """The number of the decode with the lowest WER."""
        rates = [trial.wer for trial in self.trials]
        return rates.index(min(rates))

    def start(self, values: Mapping[str, float]) -> dict[str, float]:
        """Returns the values of the first decode."""
        weights = {name: value for name, value in values.items() if not is_setting(name)}
        return {**values, **kept(weights, self.weights)} if self.weights else dict(values)

    def add(self, point: dict[str, float], score: Score, lines: list[NbestLine]) -> None:
        """Adds the result of a decode with some values."""
        weights = {n: value for n, value in point.items() if value and not is_setting(n)}
        self.trials.append(Trial(point, score.wer, score.low, score.high))
        self.decoded.append(Decoded(lines, weights))

    def knows(self, point: dict[str, float]) -> bool:
        """Returns whether these values were decoded."""
        return any(trial.weights == point for trial in self.trials)

    def decoded_like(self, point: dict[str, float]) -> int | None:
        """Returns the first decode with the same settings, whatever its weights."""
        for number, trial in enumerate(self.trials):
            if all(trial.weights[name] == point[name] for name in self.settings):
                return number
        return None

    def following(self) -> dict[str, float]:
        """Returns the values of the next decode: the best settings so far, or new ones."""
        point = {**self.trials[self.best].weights, **self._fitted()}
        number = len(self.trials)
        if self.settings and (number <= self.exploring or self.knows(point)):
            point.update(spread(self.settings, number))
        return point

    def plot(self, path: Path) -> None:
        """Draws the WER over what was tuned."""
        if self.weights:
            plot_surface(self._pool(), self.trials[self.best].weights, self.weights, path)
        else:
            plot_trials(self.trials, next(iter(self.settings)), path)

    def _fitted(self) -> dict[str, float]:
        """Returns the weights that the lists with the best settings tell."""
        if not self.weights:
            return {}
        found, weights = self._pool(), self.decoded[self.best].weights
        chosen, _ = best_weights(found, weights, self.weights, seed=len(self.trials) - 1)
        return kept(chosen, self.weights)

    def _pool(self) -> Pool:
        """Returns the hypotheses of all decodes with the settings of the best one."""
        alike = [
            decoded
            for trial, decoded in zip(self.trials, self.decoded, strict=True)
            if self._settings_of(trial) == self._settings_of(self.trials[self.best])
        ]
        return pool(alike, self.norm)

    def _settings_of(self, trial: Trial) -> dict[str, float]:
        return {name: trial.weights[name] for name in self.settings}


def _decoded(
    out: Path,
    system: System,
    node: Any,
    data: Path,
    set_name: str,
    sets: OpenSets,
    search: str,
    max_hypotheses: int,
) -> Score:
    chosen = build(Search, node, f"decoding.{search}")
    loaded = system.prepare(chosen)
    decode_into(out, system, node, loaded, data, set_name, sets, max_hypotheses, keep_finished=True)
    return score_run(DecodedSet(out).nbest, out, coverage=require_whole(out, sets))


def _norm_of(node: Mapping[str, Any]) -> LengthNorm:
    """Returns what a search divides scores by, from its filled spec node."""
    return LengthNorm(node.get("length_norm", 0.0), node.get("length_offset", 0))


def _relisted(
    decoded: Path,
    out: Path,
    node: Any,
    before: Mapping[str, float],
    system: System,
    sets: OpenSets,
) -> Score:
    weights = values_of(node, [])
    if has_lattices(decoded) and node["type"] == "graph":
        relisting = from_lattices(decoded, weights, system.tokenizer, FROM_LATTICES)
    else:
        relisting = in_other_order(before, weights, _norm_of(node))
    relist(decoded, out, node, relisting)
    return score_run(DecodedSet(out).nbest, out, coverage=require_whole(out, sets))


def publish(decoded: Path, out: Path) -> None:
    """Copies a decode to where `asrkit decode` would have put it, still to be scored.

    Args:
        decoded: Folder of the decode.
        out: RUN/decode/SEARCH/SET.
    """
    out.mkdir(parents=True, exist_ok=True)
    # What says something of the lists goes before them and comes after them.
    new, old = DecodedSet(decoded), DecodedSet(out)
    for path in (*old.judgements, old.summary, old.search, old.lattices, old.words):
        path.unlink(missing_ok=True)
    pairs = (new.nbest, old.nbest), (new.search, old.search), (new.summary, old.summary)
    for source, path in pairs:
        copy_file(source, path)
    for source, path in ((new.lattices, old.lattices), (new.words, old.words)):
        if source.is_file():
            copy_file(source, path)
