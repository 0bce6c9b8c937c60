"""Refusals of numbers that are too small, each by name."""

from __future__ import annotations


def refuse_below(least: float, **values: float | None) -> None:
    """Refuses values below the smallest allowed, and NaN; None means not set.

    Raises:
        ValueError: If there are any; names them all.
    """
    found = _wrong({name: value is None or value >= least for name, value in values.items()})
    if found:
        shown = ", ".join(f"{name} ({values[name]})" for name in found)
        raise ValueError(f"{shown} must be at least {least:g}")


def refuse_not_above(bound: float, **values: float | None) -> None:
    """Refuses values that are not above a bound; None is the lack of one.

    Raises:
        ValueError: If there are any; names them all.
    """
    found = _wrong({name: value is None or value > bound for name, value in values.items()})
    if found:
        shown = ", ".join(f"{name} ({values[name]})" for name in found)
        raise ValueError(f"{shown} must be above {bound:g}")


def _wrong(right: dict[str, bool]) -> list[str]:
    return [name for name, fits in right.items() if not fits]
