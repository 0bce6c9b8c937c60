"""Rename rules: where the tensors of a model come from in a checkpoint of another toolkit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from asrkit.errors import UserError
from asrkit.foreign.transforms import Same, Transform


@dataclass(frozen=True)
class Rule:
    """Where tensors whose names begin alike come from.

    Args:
        ours: Name of a tensor here, or of a part whose tensors have the same names in both; each
            `*` stands for a number.
        theirs: Names in the other toolkit, in the order that the transform wants; the n-th `*` is
            the n-th number of ours.
        transform: What is done besides.
    """

    ours: str
    theirs: tuple[str, ...]
    transform: Transform = field(default_factory=Same)

    def sources(self, name: str) -> list[str] | None:
        """Returns the names there for a tensor here; None if the rule is about others."""
        parts = map(re.escape, self.ours.split("*"))
        found = re.fullmatch(r"(\d+)".join(parts) + r"(?P<rest>\..+)?", name)
        if found is None:
            return None
        numbers = found.groups()[: self.ours.count("*")]
        return [_filled(each, numbers) + (found["rest"] or "") for each in self.theirs]


def _filled(name: str, numbers: Sequence[str]) -> str:
    for number in numbers:
        name = name.replace("*", number, 1)
    return name


def rename(ours: str, *theirs: str, transform: Transform | None = None) -> Rule:
    """Returns a rule; without a transform, tensors stay as they are."""
    return Rule(ours, theirs, transform or Same())


@dataclass(frozen=True)
class Renamed:
    """What rules made of a checkpoint.

    Args:
        weights: Tensors by their names here.
        sources: Their names there.
        missing: Names here that nothing was found for, with what was looked for.
        unused: Names there that nothing was made of.
    """

    weights: dict[str, Tensor]
    sources: dict[str, list[str]]
    missing: dict[str, list[str]]
    unused: list[str]


def renamed(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], rules: Sequence[Rule]
) -> Renamed:
    """Applies rules to a checkpoint; the first rule that knows a name holds.

    Args:
        ours: The tensors of the model, whose shapes and precision these get.
        theirs: The checkpoint.
        rules: The rules.

    Raises:
        UserError: If a tensor does not have the shape that the model needs.
    """
    weights: dict[str, Tensor] = {}
    sources: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for name, tensor in ours.items():
        rule, names = _rule_of(name, rules)
        if rule is None or any(each not in theirs for each in names):
            missing[name] = names
            continue
        weights[name] = _transformed(rule, names, theirs, name, tensor)
        sources[name] = names
    used = {each for names in sources.values() for each in names}
    return Renamed(weights, sources, missing, [name for name in theirs if name not in used])


def restored(ours: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Returns the tensors of the other toolkit for those of a model here.

    Raises:
        UserError: If no rule knows a tensor.
    """
    theirs: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        rule, names = _rule_of(name, rules)
        if rule is None:
            raise UserError(f"tensor {name!r} has no name in the other toolkit")
        parts = rule.transform.there(tensor)
        theirs.update(zip(names, (part.clone() for part in parts), strict=True))
    return theirs


def _rule_of(name: str, rules: Sequence[Rule]) -> tuple[Rule | None, list[str]]:
    for rule in rules:
        names = rule.sources(name)
        if names is not None:
            return rule, names
    return None, []


def _transformed(
    rule: Rule, names: Sequence[str], theirs: Mapping[str, Tensor], name: str, ours: Tensor
) -> Tensor:
    given = [theirs[each] for each in names]
    try:
        tensor = rule.transform.here(given)
    except (ValueError, RuntimeError, IndexError) as error:
        shapes = ", ".join(str(tuple(each.shape)) for each in given)
        kind = type(rule.transform).__name__
        raise UserError(
            f"{' + '.join(names)} of shapes {shapes} can't become {name!r} ({kind}): {error}"
        ) from error
    if tensor.shape != ours.shape:
        raise UserError(
            f"{' + '.join(names)} gives {name!r} the shape {tuple(tensor.shape)}, and the "
            f"configuration's model needs {tuple(ours.shape)}: is it that of this checkpoint?"
        )
    return tensor.to(ours.dtype).contiguous()
