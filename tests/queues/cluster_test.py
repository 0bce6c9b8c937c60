"""Jobs of a cluster: they end as processes do, are found again, and are submitted once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from asrkit.errors import UserError
from asrkit.queues import cluster as clusters
from asrkit.queues.cluster import Cluster, RowJob, run_jobs
from asrkit.queues.processes import Ended, Task

LIMIT = {"timeout_min": 5}


def task(folder: Path, name: str, code: str) -> Task:
    return Task(name, [sys.executable, "-c", code], folder / "logs" / f"{name}.log")


def test_jobs_end_as_processes_do_and_one_that_runs_is_not_submitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip("submitit")
    place = Cluster("local", LIMIT, tmp_path / "cluster")
    note, may_end = tmp_path / "note", tmp_path / "may_end"
    code = (
        f"import time; from pathlib import Path; open({str(note)!r}, 'a').write('x')\n"
        f"for _ in range(600):\n    if Path({str(may_end)!r}).exists(): break\n    time.sleep(0.05)"
    )
    tasks = [task(tmp_path, "fails", "print('asrkit: no'); exit(2)"), task(tmp_path, "runs", code)]

    def leave(ended: Ended) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(tasks, 2, leave, place)
    found_again = clusters._submitted

    def then_end(*arguments: Any) -> dict[str, Any]:
        found = found_again(*arguments)
        may_end.touch()
        return found

    monkeypatch.setattr(clusters, "_submitted", then_end)
    ended = run_jobs(tasks[1:], 2, print, place)
    assert ended == [Ended("runs", None)]
    assert note.read_text() == "x"
    job = submitit.LocalJob(place.folder, clusters._known(place)["fails"])
    assert job.result() == Ended("fails", "no")


def test_a_job_that_is_preempted_continues_as_another(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    job = RowJob(task(tmp_path, "runs", "pass"))
    again = job.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function is job
    assert job() == Ended("runs", None)


def test_impossible_options_and_a_missing_module_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [task(tmp_path, "runs", "pass")]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "submitit", None)
        with pytest.raises(UserError, match=r"pip install 'asrkit\[slurm\]'"):
            run_jobs(tasks, 1, print, Cluster("local", {}, tmp_path))
    pytest.importorskip("submitit")
    with pytest.raises(UserError, match="--cluster-option"):
        run_jobs(tasks, 1, print, Cluster("local", {"gpu": 1}, tmp_path))
