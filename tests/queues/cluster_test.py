"""Jobs of a cluster: they end as processes do, are found again, and are submitted once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.queues import cluster as clusters
from asrkit.queues.cluster import Cluster, RowJob, run_jobs
from asrkit.queues.processes import Ended
from tests.queues.interrupted import is_found_again, task

LIMIT = {"timeout_min": 5}


def test_jobs_end_as_processes_do_and_one_that_runs_is_not_submitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip("submitit")
    place = Cluster("local", LIMIT, tmp_path / "cluster")
    is_found_again(place, tmp_path, monkeypatch)
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
