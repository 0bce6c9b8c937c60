"""Every variant of the published ablations fits its base, and changes what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.config.build import build
from asrkit.config.explain import difference
from asrkit.config.yaml_loader import Spec, load
from asrkit.experiment import load_spec
from asrkit.experiment.ablation.variants import Variant, read_variants
from asrkit.experiment.spec import Experiment, resolve_spec
from asrkit.experiment.train import stages_of
from asrkit.nn.residual import StochasticDepth
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.schedules import Schedule

CONF = Path(__file__).parents[2] / "recipes/librispeech/conf"
LARGE, SMALL, AED = (CONF / f"{name}.yaml" for name in ("hybrid-ping", "hybrid-small", "aed"))
CASES = [(LARGE, v) for v in read_variants([CONF / "ablation"])]
CASES += [(SMALL, v) for v in read_variants([CONF / "ablation/small"])]
AED_VARIANTS = read_variants([CONF / "ablation/aed"])
AN4 = CONF.parents[1] / "an4/conf"
NO_SMALLER = {"aux-12", "aux-4-8-12", "cnn-blstm", "ctc-only", "ctc-without-eos", "loss-scales"}
"""Variants of the attention model that name what its small version calls something else."""
SMALL_VARIANTS = [v for v in AED_VARIANTS if v.name not in {*NO_SMALLER, "transformer-decoder"}]
SMALL_VARIANTS += read_variants([AN4 / "ablation"])
PUBLISHED = {
    "no-aux": 82_760_129,
    "group-norm": 86_828_450,
    "batch-norm": 86_840_738,  # with the running statistics, which the published number counts
    "squeeze-excite-conv": 87_228_194,
    "down-up-2": 28_341_745,
}
CHANGE_MORE = {"l2-1e-4-dropout-0.03", "xl-stochastic-depth"}
"""Rows that change several things at once, in up to 6 lines."""
BASES = {path: resolve_spec(load_spec(path))[1] for path in (LARGE, SMALL, AED)}
ADDED = {  # parameters, with 10,024 units
    "two-lstms": 4 * 1024 * (1024 + 1024 + 1),
    "query-key-norm-l2": 12,
    "query-key-norm-layer": 12 * 2 * 64,
    "aux-4-8-12": (512 + 1) * 10026,
    "aux-12": -(512 + 1) * 10026,
    "ctc-without-eos": -2 * (512 + 1),
    "cnn-blstm": 9_568 + 4_726_784 + 6_299_648 + 1025 * 512 - 1_366_464,
    "transformer-decoder": 11_219_328,
    "ctc-only": -24_281_513,
}


@pytest.mark.parametrize(("base", "variant"), CASES, ids=lambda case: getattr(case, "name", ""))
def test_variants_fit_their_base_and_change_it(base: Path, variant: Variant) -> None:
    assert variant.path is not None
    lines = variant.path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) - 1 <= (6 if variant.name in CHANGE_MORE else 3)
    published = variant.name in PUBLISHED
    few = [] if published else ["model.encoder.num_layers=8"]  # as many as skips need
    experiment, tree = resolve_spec(load(base, [*few, *variant.changes]))
    changes = [line for line in difference(BASES[base], tree) if few != [_assigned(line)]]
    assert changes
    if not any(line.startswith("model.") for line in changes):
        return
    with torch.device("meta"):
        model = experiment.model(vocabulary=Vocabulary(["a", "b"]))
    if published:
        numbers = [p.numel() for p in model.parameters()]
        numbers += [b.numel() for name, b in model.named_buffers() if "running" in name]
        assert sum(numbers) == PUBLISHED[variant.name]


@pytest.mark.parametrize("variant", AED_VARIANTS, ids=lambda case: case.name)
def test_variants_of_the_attention_model_add_what_they_say(variant: Variant) -> None:
    assert variant.path is not None
    lines = variant.path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) - 1 <= 3
    experiment, tree = resolve_spec(load(AED, list(variant.changes)))
    assert difference(BASES[AED], tree)
    with torch.device("meta"):
        model = experiment.model(vocabulary=Vocabulary([f"l{i}" for i in range(10024)]))
    count = sum(p.numel() for p in model.parameters())
    assert count == 108_668_093 + ADDED.get(variant.name, 0)
    judged = {name.partition(".")[0] for name in tree["training"]["checkpoints"]["keep_best_by"]}
    assert judged == {*model.named_heads()}


def test_variants_of_the_small_attention_model_fit_it_and_change_it() -> None:
    base = AN4 / "aed.yaml"
    _, tree = resolve_spec(load_spec(base))
    for variant in SMALL_VARIANTS:
        experiment, changed = resolve_spec(load(base, list(variant.changes)))
        assert difference(tree, changed), variant.name
        sizes = []
        for stage in stages_of(experiment, changed, Path("run")):
            with torch.device("meta"):
                model = stage.experiment.model(vocabulary=Vocabulary(["a", "b"]))
            sizes.append(sum(parameter.numel() for parameter in model.parameters()))
        assert sizes == sorted(sizes), variant.name  # it grows
        assert len(sizes) == (3 if variant.name == "growing" else 1)


def test_rates_and_survivals_are_the_published_ones() -> None:
    given = {variant.name: variant for base, variant in CASES if base == LARGE}

    def built(name: str) -> tuple[Experiment, dict[str, Any]]:
        return resolve_spec(load(LARGE, list(given[name].changes)))

    _, tree = built("shorter-learning-rates")
    rates = build(Schedule, Spec(tree["training"]["schedule"]))
    assert rates.lr(1, 20) == pytest.approx(5e-4)
    assert rates.lr(1, 120) == pytest.approx(6.63e-5, rel=1e-3)
    _, tree = built("newbob")
    assert tree["training"]["schedule"]["threshold"] == -0.01  # the framework's own
    survivals = {
        "linear-survival-1.0-0.5": [1 - 0.5 * place / 23 for place in range(24)],
        "depth-scale-0.2": [1 - 0.8 * block / 12 for block in range(1, 13) for _ in range(2)],
    }
    for name, expected in survivals.items():
        experiment, _ = built(name)
        with torch.device("meta"):
            model = experiment.model(vocabulary=Vocabulary(["a", "b"]))
        found = [m.survival for m in model.modules() if isinstance(m, StochasticDepth)]
        assert found == pytest.approx(expected), name


def _assigned(line: str) -> str:
    """Returns the override that gives a line of a difference."""
    return line.partition(": ")[0] + "=" + line.rpartition(" -> ")[2]


def test_the_list_of_the_study_is_complete() -> None:
    names = [variant.name for base, variant in CASES if base == LARGE]
    assert len(names) == 50
    assert sum(name.startswith("seed-") for name in names) == 5
    assert sum(name.startswith("same-seed-") for name in names) == 5
    assert len(CASES) - len(names) == 49
    assert len(AED_VARIANTS) == 18
