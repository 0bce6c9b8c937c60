"""What an ablation study trains: rows of variants and seeds on a base, checked before any of it.

A row's spec is the base with the overrides of the command, then those of the variant, then the
epochs and the seed, so that `asrkit train BASE ... KEY=VALUE` can train it by hand as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.ablation_folder import AblationFolder
from asrkit.config.explain import difference
from asrkit.config.plugins import import_plugins
from asrkit.config.registry import import_all
from asrkit.config.yaml_loader import Spec, load
from asrkit.config.yaml_text import parse
from asrkit.data.manifests import find_manifest
from asrkit.errors import UserError
from asrkit.experiment.ablation.variants import BASE, Variant
from asrkit.experiment.check import model_tree
from asrkit.experiment.decode_spec import load_decode_spec, pick, searches_of
from asrkit.experiment.spec import Experiment, load_spec, resolve_spec
from asrkit.reports.ablation.contents import Decoded


@dataclass(frozen=True)
class Row:
    """A training of a study.

    Args:
        variant: Name of the variant, or `base`.
        seed: Of the training.
        overrides: Of the base's spec, seed and epochs included.
        searches: Filled spec nodes of those that decode it, by name.
    """

    variant: str
    seed: int
    overrides: tuple[str, ...]
    searches: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What its run folder is called."""
        return f"{self.variant}-{self.seed}"


@dataclass(frozen=True)
class Study:
    """What is asked for.

    Args:
        base: Spec file of the base.
        variants: Changes to it.
        data: Data folder.
        folder: Of all that the study writes.
        epochs: After which of them each row is decoded; the last one ends training.
        sets: Those that are decoded; none if trainings are compared only.
        searches: Those that decode them.
        search_file: File whose searches replace those of the base, if given.
        seeds: How many seeds each variant is trained with, by name; "" stands for all others.
        overrides: Changes to the base, and so to all rows.
        plugins: Modules that the command imports.
    """

    base: Path
    variants: Sequence[Variant]
    data: Path
    folder: AblationFolder
    epochs: Sequence[int]
    sets: Sequence[str]
    searches: Sequence[str]
    search_file: Path | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.epochs or min(self.epochs) < 1:
            raise UserError("a study needs epochs, counted from 1")
        if bool(self.sets) != bool(self.searches):
            raise UserError("give both --set and --search, or neither: then nothing is decoded")
        known = {"", BASE, *(variant.name for variant in self.variants)}
        for name in self.seeds:
            if name not in known:
                raise UserError(
                    f"--seeds {name}=...: there is no variant {name!r}; there are "
                    f"{', '.join(sorted(known - {''}))}"
                )

    @property
    def decoded(self) -> Decoded:
        """What all rows are decoded with."""
        return Decoded(self.sets, sorted(set(self.epochs)), self.searches)

    def shared(self) -> list[str]:
        """Returns the overrides of all rows."""
        kept = sorted(set(self.epochs))
        epochs = [f"training.epochs={kept[-1]}", f"training.checkpoints.keep_epochs={kept}"]
        return [*self.overrides, *epochs]

    def number_of_seeds(self, variant: str) -> int:
        """Returns with how many seeds a variant is trained."""
        return self.seeds.get(variant, self.seeds.get("", 1))


@dataclass(frozen=True)
class Planned:
    """A variant on the base, or the base itself.

    Args:
        variant: What is changed.
        changes: A line for each key in which the filled spec differs from that of the base.
        tree: The filled spec, with the seed of the first row.
        parameters: Of its model.
        rows: One for each seed.
    """

    variant: Variant
    changes: list[str]
    tree: dict[str, Any]
    parameters: int
    rows: list[Row]


def last_epoch(base: Path, overrides: Sequence[str]) -> int:
    """Returns the last epoch of a base's training."""
    spec = load(base, overrides)
    import_all()
    import_plugins(spec, base)
    _, tree = resolve_spec(spec)
    return int(tree["training"]["epochs"])


def planned(study: Study) -> list[Planned]:
    """Returns the base and its variants with what they really change.

    Raises:
        UserError: If a spec has problems, or a variant changes nothing; names all of them.
    """
    _refuse_other_epochs(study)
    shared = study.shared()
    spec = load_spec(study.base, shared)
    experiment, base = resolve_spec(spec)
    for name in study.sets:
        find_manifest(study.data, name)
    given = None if study.search_file is None else load_decode_spec(study.search_file)
    searches = _searches(study, given or Spec(base))
    size = model_tree(spec, study.data).model.parameters
    rows = _rows(study, BASE, shared, searches, experiment.seed)
    found = [Planned(Variant(BASE), [], base, size, rows)]
    problems = []
    for variant in study.variants:
        try:
            found.append(_planned(study, variant, base, experiment, given))
        except UserError as error:
            problems.append(f"{variant.name}: {error}")
    if problems:
        lines = [f"{len(problems)} variant(s) can't be put on {study.base}", *problems]
        raise UserError("\n".join(lines))
    return found


def _refuse_other_epochs(study: Study) -> None:
    """Refuses changes to the base that the study's own epochs would replace.

    Raises:
        UserError: If there is one.
    """
    kept = sorted(set(study.epochs))
    for key, wanted in (("epochs", kept[-1]), ("checkpoints.keep_epochs", kept)):
        for change in study.overrides:
            name, _, value = change.partition("=")
            if name == f"training.{key}" and parse(value, change) != wanted:
                raise UserError(
                    f"{change}: the epochs of all rows are those of the study, "
                    f"{', '.join(map(str, kept))}: leave it out, or change --epochs"
                )


def _searches(study: Study, spec: Spec) -> dict[str, Any]:
    """Returns the filled nodes of a study's searches, by name.

    Raises:
        UserError: If one is missing, said before hours are spent on training.
    """
    known = searches_of(spec)
    return {name: pick(known, name).node for name in study.searches}


def _planned(
    study: Study,
    variant: Variant,
    base: dict[str, Any],
    experiment: Experiment,
    given: Spec | None,
) -> Planned:
    overrides = [*study.shared(), *variant.changes]
    spec = load(study.base, overrides)  # what the base's file has to tell was told before
    changed, tree = resolve_spec(spec)
    rows = difference(base, tree)
    if not rows:
        raise UserError(
            f"nothing of the base is changed by {', '.join(variant.changes)}: the base has these "
            "values already; leave the variant out, or change it"
        )
    trained = tree["training"]["epochs"], tree["training"]["checkpoints"]["keep_epochs"]
    if trained != (max(study.epochs), sorted(set(study.epochs))):
        raise UserError("training.epochs and keep_epochs are those of the study: --epochs")
    searches = _searches(study, given or Spec(tree))
    own = changed.seed != experiment.seed or any(c.startswith("seed=") for c in variant.changes)
    if own and study.seeds.get(variant.name, 1) > 1:
        raise UserError(
            f"--seeds {variant.name}={study.seeds[variant.name]}: it sets the seed itself, to "
            f"{changed.seed}, and so is one row"
        )
    count = 1 if own else study.number_of_seeds(variant.name)
    size = model_tree(spec, study.data).model.parameters
    of_seeds = _rows(study, variant.name, overrides, searches, changed.seed, count)
    return Planned(variant, rows, tree, size, of_seeds)


def _rows(
    study: Study,
    name: str,
    overrides: Sequence[str],
    searches: Mapping[str, Any],
    seed: int,
    count: int | None = None,
) -> list[Row]:
    """Returns a row for each seed, from that of the spec on."""
    seeds = range(seed, seed + (study.number_of_seeds(name) if count is None else count))
    return [Row(name, number, (*overrides, f"seed={number}"), searches) for number in seeds]
