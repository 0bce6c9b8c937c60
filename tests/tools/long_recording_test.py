"""Recordings of any length are made of utterances; their numbers are those of a table."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from asrkit.scoring.edits import count_errors
from tools.benchmark import long_recording


def test_utterances_come_again_until_they_are_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = [SimpleNamespace(id=name, duration=7.0) for name in "ab"]
    monkeypatch.setattr(long_recording, "open_set", lambda data, names: iter(cuts))
    found = islice(long_recording.of_length(Path("data"), "test", 0.5), 9)
    assert [cut.id for cut in found] == ["a", "b", "a", "b", "a"]


def test_a_row_has_what_its_headings_say() -> None:
    errors = count_errors([*"abcd"], [*"abd"])
    row = long_recording.row(errors, 120.0, 6.0, (100.0, 100.4))
    cells = long_recording.line("m", "a recording", row).strip("| ").split(" | ")
    assert dict(zip(long_recording.HEADINGS, cells, strict=True)) == {
        "model": "m",
        "hears": "a recording",
        "minutes": "2.0",
        "WER": "25.00",
        "words": "4",
        "RTF": "0.050",
        "peak MiB": "100",
        "after a minute": "100",
    }
