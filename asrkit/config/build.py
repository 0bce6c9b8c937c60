"""Checks a spec against the annotated signatures of what it names, then builds the objects.

Nothing is built while anything is wrong: the whole tree is walked first and every problem is
reported at once, with its key path, file and line. The annotation of a constructor's parameter
decides how its value is read: an interface with a registry is built at once, `Factory[Interface]`
is checked now and called later by the parent, which supplies the registry's late arguments.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from asrkit.config.annotations import SCALARS, annotation_name
from asrkit.config.factories import CheckedFactory as CheckedFactory
from asrkit.config.factories import Make, Unbuilt
from asrkit.config.factories import dry as dry
from asrkit.config.key_paths import join, parent_of
from asrkit.config.ordered import ORDER, Ordered, names_of, order_of, without_name
from asrkit.config.problems import Problem, SpecError
from asrkit.config.registry import Factory, Registry, registry_of
from asrkit.config.renames import old_names
from asrkit.config.signatures import (
    constructor_parameters,
    default_of,
    describe,
    did_you_mean,
    hints_of,
    shown,
)
from asrkit.config.yaml_loader import Spec

T = TypeVar("T")


def check(interface: type, spec: object, path: str = "") -> list[Problem]:
    """Returns everything that is wrong with a spec, without building anything.

    Args:
        interface: What it describes: an interface with a registry, or a class.
        spec: A `Spec`, or a bare tree.
        path: Key path of the node that is meant; the root where empty.
    """
    walk, tree = _start(spec, path)
    walk.plan(interface, tree, path)
    return walk.problems


def build(interface: type[T], spec: object, path: str = "") -> T:
    """Returns the object that a spec describes.

    Raises:
        SpecError: With every problem of the tree, or with what a constructor refused.
    """
    walk, tree = _start(spec, path)
    make = walk.plan(interface, tree, path)
    if walk.problems:
        raise SpecError(walk.problems)
    result: T = make()
    return result


def dry_build(
    interface: type, spec: object, path: str = "", late: Mapping[str, Any] | None = None
) -> list[Problem]:
    """Returns what constructors refuse, building on the meta device, where tensors have no data.

    Several problems are found at once: where a part is refused, a placeholder takes its place and
    its siblings are still built.

    Args:
        interface: What the node describes.
        spec: A `Spec`, or a bare tree.
        path: Key path of the node.
        late: Arguments that a parent would supply.
    """
    walk, tree = _start(spec, path)
    make = walk.plan_factory(interface, tree, path)
    if walk.problems:
        return walk.problems
    with dry() as found:
        make()(**(late or {}))
    return found


def filled(interface: type, spec: object, path: str = "") -> dict[str, Any]:
    """Returns the tree with every default written out.

    Raises:
        SpecError: If the spec has problems.
    """
    walk, tree = _start(spec, path)
    walk.plan(interface, tree, path)
    if walk.problems:
        raise SpecError(walk.problems)
    result: dict[str, Any] = walk.full
    return result


def node_target(interface: type, spec: object, key: str) -> tuple[Callable[..., Any], str] | None:
    """Returns the class whose parameter a key path sets, and the parameter's name."""
    walk, tree = _start(spec, "")
    walk.plan(interface, tree, "")
    parent, _, name = key.rpartition(".")
    name = name.partition("[")[0]
    target = walk.targets.get(parent)
    return None if target is None else (target, name)


def _start(spec: object, path: str) -> tuple[_Walk, Any]:
    if not isinstance(spec, Spec):
        return _Walk(lambda _: None), spec
    tree = spec.tree
    for key in filter(None, path.split(".")):
        tree = tree[key]
    return _Walk(spec.source), tree


class _Walk:
    """One pass over a tree: collects problems and the filled tree; returns what makes values."""

    def __init__(self, source: Callable[[str], str | None]) -> None:
        self.problems: list[Problem] = []
        self.full: Any = None
        self.targets: dict[str, Callable[..., Any]] = {}
        self._source = source

    def problem(self, path: str, message: str) -> Make:
        """Notes a problem, with the place of the node or of the nearest one around it."""
        around = path
        while self._source(around) is None and around:
            around = parent_of(around)
        self.problems.append(Problem(path, message, self._source(around)))
        return lambda: None

    def plan(self, annotation: Any, value: Any, path: str) -> Make:  # noqa: C901 - a table of kinds
        """Checks a value against an annotation; leaves the filled value in `full`."""
        origin = get_origin(annotation)
        if annotation is Any:
            self.full = value
            return lambda: value
        if origin in (Union, types.UnionType):
            return self._union(get_args(annotation), value, path)
        if origin is Factory:
            return self.plan_factory(get_args(annotation)[0], value, path)
        if origin is Literal:
            return self._literal(get_args(annotation), value, path)
        if origin in (list, tuple) or _is_abstract(origin, Sequence):
            return self._sequence(origin, get_args(annotation), value, path)
        if origin is Ordered:
            return self._ordered(get_args(annotation)[0], value, path)
        if origin is dict or _is_abstract(origin, Mapping):
            return self._mapping(get_args(annotation)[1], value, path)
        if annotation in SCALARS or annotation is type(None):
            return self._scalar(annotation, value, path)
        if isinstance(annotation, type):
            factory = self._object(annotation, value, path)
            return lambda: factory()
        return self.problem(path, f"asrkit can't read values of type {annotation} from YAML")

    def plan_factory(self, interface: Any, value: Any, path: str) -> Make:
        factory = self._object(interface, value, path)
        return lambda: factory

    def _scalar(self, kind: type, value: Any, path: str) -> Make:
        if kind is float and type(value) is int:
            value = float(value)
        if kind is Path and isinstance(value, str):
            self.full = value
            return lambda: Path(value)
        # Whatever is compared with "not a number" is false, so that no later check sees it.
        if type(value) is not kind or value != value:
            return self.problem(path, f"expected {annotation_name(kind)}, got {shown(value)}")
        self.full = value
        return lambda: value

    def _literal(self, options: tuple[Any, ...], value: Any, path: str) -> Make:
        if not any(value == option and type(value) is type(option) for option in options):
            names = ", ".join(repr(option) for option in options)
            hint = did_you_mean(value, [str(option) for option in options])
            return self.problem(path, f"expected one of {names}, got {shown(value)}{hint}")
        self.full = value
        return lambda: value

    def _union(self, options: tuple[Any, ...], value: Any, path: str) -> Make:
        """Takes the first option that fits; if none does, reports the one that fits best."""
        best: list[Problem] | None = None
        for option in options:
            if (option is type(None)) != (value is None):
                continue
            trial = _Walk(self._source)
            make = trial.plan(option, value, path)
            if not trial.problems:
                self.full = trial.full
                self.targets.update(trial.targets)
                return make
            if best is None or _fit(trial.problems[0]) > _fit(best[0]):
                best = trial.problems
        choices = [option for option in options if option is not type(None)]
        if best is not None and (len(choices) == 1 or _fit(best[0]) > (len(path), False)):
            self.problems += best
            return lambda: None
        names = " or ".join(annotation_name(option) for option in options)
        return self.problem(path, f"expected {names}, got {shown(value)}")

    def _sequence(self, origin: Any, items: tuple[Any, ...], value: Any, path: str) -> Make:
        if not isinstance(value, list):
            return self.problem(path, f"expected a list, got {shown(value)}")
        fixed = origin is tuple and items[-1] is not Ellipsis
        if fixed and len(items) != len(value):
            return self.problem(path, f"expected {len(items)} entries, got {len(value)}")
        kinds = items if fixed else (items[0],) * len(value)
        makes, full = [], []
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True)):
            makes.append(self.plan(kind, item, join(path, index)))
            full.append(self.full)
        self.full = full
        as_tuple = origin is tuple
        return lambda: tuple(m() for m in makes) if as_tuple else [m() for m in makes]

    def _ordered(self, kind: Any, value: Any, path: str) -> Make:
        """Checks parts with names; `full` has their order as a key of its own."""
        if not isinstance(value, (dict, list)):
            return self.problem(path, f"expected a mapping of names, got {shown(value)}")
        try:
            if isinstance(value, list):
                order = names_of(value)
                nodes = [(join(path, i), without_name(item)) for i, item in enumerate(value)]
            else:
                order = order_of(value)
                nodes = [(join(path, name), value[name]) for name in order]
        except ValueError as error:
            return self.problem(path, str(error))
        makes, full = {}, {}
        for name, (place, node) in zip(order, nodes, strict=True):
            makes[name] = self.plan(kind, node, place)
            full[name] = self.full
        self.full = {ORDER: order, **full} if order else {}
        return lambda: Ordered({name: make() for name, make in makes.items()})

    def _mapping(self, kind: Any, value: Any, path: str) -> Make:
        if not isinstance(value, dict):
            return self.problem(path, f"expected a mapping of names, got {shown(value)}")
        makes, full = {}, {}
        for key, item in value.items():
            makes[key] = self.plan(kind, item, join(path, key))
            full[key] = self.full
        self.full = full
        return lambda: {key: make() for key, make in makes.items()}

    def _object(self, interface: Any, value: Any, path: str) -> CheckedFactory:
        registry = registry_of(interface)
        target, name, given = self._target(registry, interface, value, path)
        makes: dict[str, Make] = {}
        full: dict[str, Any] = {} if name is None else {"type": name}
        if target is not None:
            self.targets[path] = target
            described = _Target(target, registry, name, registry.late if registry else ())
            if described.trouble:
                self.problem(path, described.trouble)
            else:
                self._parameters(described, given, path, makes, full)
        self.full = full
        return CheckedFactory(target or Unbuilt, makes, path, self._source(path))

    def _target(
        self, registry: Registry[Any] | None, interface: Any, value: Any, path: str
    ) -> tuple[Callable[..., Any] | None, str | None, dict[str, Any]]:
        """Returns what a node names: a class, its registered name, and the keys given to it."""
        short = registry is not None and isinstance(value, str)
        if not short and not isinstance(value, dict):
            hint = "a name or a mapping with `type`" if registry else "a mapping of keys"
            self.problem(path, f"expected {hint}, got {shown(value)}")
            return None, None, {}
        given = {"type": value} if short else dict(value)
        if registry is None:
            return interface, None, given
        name = given.pop("type", registry.default)
        if name is None:
            names = ", ".join(sorted(registry.entries))
            kind = annotation_name(interface)
            self.problem(path, f"missing key 'type'; {kind} is one of {names}")
        elif name not in registry.entries:
            hint = did_you_mean(name, list(registry.entries))
            names = ", ".join(sorted(registry.entries))
            message = f"unknown {registry.kind} {name!r}{hint}; there are {names}"
            self.problem(path if short else join(path, "type"), message)
        else:
            return registry.entries[name], name, given
        return None, None, given

    def _parameters(
        self,
        target: _Target,
        given: dict[str, Any],
        path: str,
        makes: dict[str, Make],
        full: dict[str, Any],
    ) -> None:
        for key in given:
            if key in target.late:
                self.problem(join(path, key), "can't be set here: the enclosing part supplies it")
            elif key not in target.parameters:
                hint = did_you_mean(key, target.names(path))
                known = ", ".join(target.parameters) or "none"
                self.problem(join(path, key), f"unknown key of {target.label}{hint}; keys: {known}")
        for key, parameter in target.parameters.items():
            if key in given:
                makes[key] = self.plan(target.hints[key], given[key], join(path, key))
                full[key] = self.full
            elif parameter.default is inspect.Parameter.empty:
                kind = annotation_name(target.hints[key])
                self.problem(path, f"missing key {key!r} ({kind}) of {target.label}")
            else:
                full[key] = describe(target.default(key))


class _Target:
    """A class with its checked constructor parameters; late ones left out."""

    def __init__(
        self,
        target: Callable[..., Any],
        registry: Registry[Any] | None,
        name: str | None,
        late: tuple[str, ...],
    ) -> None:
        self.target, self.name = target, name
        self.late = late
        kind = registry.kind if registry is not None else getattr(target, "__name__", str(target))
        self.label = f"{kind} '{name}'" if name is not None else kind
        self.parameters = constructor_parameters(target, late)
        self.hints, self.trouble = hints_of(target, list(self.parameters))

    def default(self, key: str) -> Any:
        return default_of(self.target, key)

    def names(self, path: str) -> dict[str, str]:
        """Returns what a wrong key may have meant: keys, those of plain parts, and old names."""
        found = dict(old_names(path, self.name))
        for key, hint in self.hints.items():
            if isinstance(hint, type) and is_dataclass(hint) and registry_of(hint) is None:
                found |= {below: f"{key}.{below}" for below in constructor_parameters(hint)}
        return found | {key: key for key in self.parameters}


def _fit(problem: Problem) -> tuple[int, bool]:
    """Returns how near a value came to an annotation that refused it: a wrong kind is far."""
    return len(problem.path), not problem.message.startswith("expected ")


def _is_abstract(origin: Any, abstract: type) -> bool:
    return (
        isinstance(origin, type)
        and origin.__module__ == "collections.abc"
        and (issubclass(origin, abstract))
    )
