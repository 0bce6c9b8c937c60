"""A queue of jobs whose command is interrupted, and which the next command finds again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from asrkit.queues import cluster as clusters
from asrkit.queues.cluster import Cluster, run_jobs
from asrkit.queues.processes import Ended, Task

WAITS = """
import time
from pathlib import Path
open({note!r}, "a").write("x")
for _ in range(600):
    if Path({may_end!r}).exists():
        break
    time.sleep(0.05)
"""


def task(folder: Path, name: str, code: str) -> Task:
    """Returns the task of a line of Python."""
    return Task(name, [sys.executable, "-c", code], folder / "logs" / f"{name}.log")


def is_found_again(place: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asserts that a job which still runs when its command is gone is not submitted again."""
    note, may_end = folder / "note", folder / "may_end"
    waits = WAITS.format(note=str(note), may_end=str(may_end))
    tasks = [task(folder, "fails", "print('asrkit: no'); exit(2)"), task(folder, "runs", waits)]

    def leave(ended: Ended) -> None:
        assert ended == Ended("fails", "no")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(tasks, 2, leave, place)
    found_again = clusters._submitted

    def then_end(*arguments: Any) -> dict[str, Any]:
        found = found_again(*arguments)
        may_end.touch()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(clusters, "_submitted", then_end)
        assert run_jobs(tasks[1:], 2, print, place) == [Ended("runs", None)]
    assert note.read_text() == "x"
