"""`asrkit gmm`: trains Gaussian mixtures, and leaves each of their stages as a run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asrkit.config.build import build, filled
from asrkit.experiment.gmm_features import Cepstra
from asrkit.experiment.gmm_spec import GmmSpec, open_inputs, require_gmm_spec
from asrkit.experiment.record import record_command, record_environment
from asrkit.experiment.runs import record_tokenizer
from asrkit.experiment.spec import FORMAT, Experiment, load_spec
from asrkit.files import json_line, read_lines, write_lines, write_text
from asrkit.hmm.gaussians import Mixtures
from asrkit.hmm.hmm_folder import Hmm
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.model import Model, read_model
from asrkit.hmm.speech import read_speech
from asrkit.hmm.training.trainer import StageFacts, train_mixtures
from asrkit.run_folder import RunFolder
from asrkit.text.tokenizers import Tokenizer
from asrkit.training.checkpoints import write_atomic

STATES, FIRST = "states", "first"
"""The heads of a stage: of the features that it was trained on, and of those before adaptation."""


@dataclass(frozen=True)
class GmmReport:
    """What training has left.

    Args:
        run: Folder of all stages.
        stages: Facts of each, in order.
    """

    run: Path
    stages: dict[str, StageFacts]


def gmm(
    spec: Path,
    overrides: Sequence[str],
    data: Path,
    run: Path,
    jobs: int = 1,
    last: str = "sat",
) -> GmmReport:
    """Trains the stages that are missing; each is RUN/STAGE, a run folder that decodes.

    Args:
        spec: YAML file, see `GmmSpec`.
        overrides: Such as mixtures.triphones.states=1000.
        data: Data folder, with sets, tokenizer and lexicon.
        run: Folder of the stages.
        jobs: Threads.
        last: The last stage that is wanted.

    Raises:
        UserError: If something is missing or doesn't fit.
    """
    loaded = load_spec(spec, overrides)
    require_gmm_spec(loaded, spec)
    chosen = build(GmmSpec, loaded)
    inputs, mixtures = open_inputs(chosen, data), chosen.mixtures
    speech = read_speech(inputs.cuts, mixtures.mfcc, mixtures.normalize_variance, jobs)
    run.mkdir(parents=True, exist_ok=True)
    record_command(run)
    cepstra = Cepstra(mixtures.mfcc, mixtures.normalize_variance, mixtures.min_speaker_frames)
    seconds = 0.0

    def complete(stage: str, facts: StageFacts) -> None:
        nonlocal seconds
        seconds += facts["seconds"]
        write_run(run, stage, loaded.tree, inputs.tokenizer, cepstra, seconds, mixtures.silence)

    stages = train_mixtures(
        run, speech, inputs.lexicon, mixtures, jobs, last, complete, inputs.given
    )
    return GmmReport(run, stages)


def write_run(
    run: Path,
    stage: str,
    tree: Any,
    tokenizer: Tokenizer,
    cepstra: Cepstra,
    seconds: float,
    silence: float = 0.5,
) -> None:
    """Makes a run folder of a trained stage, which all verbs can read.

    Args:
        run: Folder of all stages.
        stage: Its name.
        tree: The spec.
        tokenizer: Spells words.
        cepstra: What features are made of.
        seconds: That training took up to here.
        silence: Probability of silence between words.
    """
    path = run / stage
    folder, model = RunFolder(path), read_model(path)
    lexicon = read_lexicon(run / "lexicon.txt")
    Hmm(model.tree, model.topology, model.transitions, lexicon, silence).write(folder.hmm)
    heads = {STATES: model.mixtures}
    if model.first_mixtures is not None:
        heads[FIRST] = model.first_mixtures
    resolved = filled(Experiment, _experiment(tree, heads))
    write_text(folder.spec, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    record_tokenizer(path, tokenizer)
    weights = {
        f"heads.{name}.{part}": getattr(mixtures, part).contiguous()
        for name, mixtures in heads.items()
        for part in ("offsets", "log_weights", "means", "variances")
    }
    write_atomic({"model": weights, "averaged": [stage]}, folder.average)
    iterations = [json.loads(line) for line in read_lines(path / "iterations.jsonl")]
    cepstra.write(path)
    _record(run, folder, model, iterations, seconds)


def _record(
    run: Path, folder: RunFolder, model: Model, iterations: list[Any], seconds: float
) -> None:
    """Writes what tables of results say of a run: its size, time and commands."""
    last = iterations[-1]
    numbers = {"log_likelihood": last["log_likelihood"]}
    epoch = {"epoch": len(iterations), "step": len(iterations), "seconds": seconds, "lr": 0.0}
    write_text(folder.log, json_line({**epoch, "train": numbers, "dev": {}}) + "\n")
    gaussians, size = model.mixtures.means.shape
    record_environment(folder.path, gaussians * (2 * size + 1))
    if not folder.commands.is_file():
        write_lines(folder.commands, read_lines(RunFolder(run).commands))


def _experiment(tree: Any, heads: dict[str, Mixtures]) -> dict[str, Any]:
    """Returns the spec of a model that has these mixtures as heads."""
    sizes = {
        name: {"type": "gaussian_mixtures", "states": m.num_states, "gaussians": len(m)}
        for name, m in heads.items()
    }
    dim = next(iter(heads.values())).means.shape[1]
    return {
        "format": FORMAT,
        "text": tree["text"],
        "plugins": tree.get("plugins", []),
        "data": {
            "train": tree["data"]["train"],
            "dev": [],
            "sample_rate": 100,
            "batches": {"max_seconds": 200.0},
        },
        "model": {
            "features": {"type": "ready_made", "dim": dim},
            "encoder": "identity",
            "heads": sizes,
        },
        # No gradient changes mixtures; a spec has this part all the same.
        "training": {
            "epochs": 1,
            "optimizer": "adamw",
            "schedule": {"type": "constant", "value": 0.001},
        },
    }
