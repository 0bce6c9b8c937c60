"""Memory that there is, and graphs that need more."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.memory import free_memory, most_memory


def test_a_container_may_use_less_than_the_machine_has(tmp_path: Path) -> None:
    limit, none = tmp_path / "memory.max", tmp_path / "none"
    whole = most_memory([none])
    limit.write_text("max\n")
    assert most_memory([limit, none]) == whole > 10**8
    limit.write_text("123456789\n")
    assert most_memory([none, limit]) == 123456789


def test_free_memory_is_that_of_the_system(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    assert free_memory(table) is None
    table.write_text("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:   5 kB\n")
    assert free_memory(table) == 5120


def test_graphs_that_need_more_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = import_module("asrkit.experiment.graph")
    ngrams = estimate(index_sentences([["a", "b"], ["b"]]), 2, []).ngrams
    with caplog.at_level(logging.INFO):
        graphs.require_memory(ngrams)
    assert "n-grams: building takes about 0.1 GB and 2 s" in caplog.text
    assert "other processes" not in caplog.text
    monkeypatch.setattr(graphs, "free_memory", lambda: 10**6)
    graphs.require_memory(ngrams)
    assert "other processes have left 0.0 GB" in caplog.text
    monkeypatch.setattr(graphs, "most_memory", lambda: 10**7)
    with pytest.raises(UserError, match=r"takes about 0\.1 GB to build, and there are 0\.0 GB"):
        graphs.require_memory(ngrams)
