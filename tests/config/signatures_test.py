"""Annotations of constructors, wherever their names come from."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from asrkit.config.signatures import type_hints

BASE = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Base:
    place: Path
"""
DERIVED = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Sequence
import base_of_test

@dataclass(frozen=True)
class Derived(base_of_test.Base):
    sizes: Sequence[int] = ()
"""


def test_fields_of_a_base_are_read_with_the_names_of_its_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in (("base_of_test", BASE), ("derived_of_test", DERIVED)):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(text, vars(module))
    hints = type_hints(sys.modules["derived_of_test"].Derived)
    assert hints["place"] is Path
    assert str(hints["sizes"]) == "typing.Sequence[int]"
