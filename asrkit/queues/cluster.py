"""Processes as jobs of a Slurm cluster, through submitit; its local executor needs none.

Jobs continue when the command ends that has submitted them. The same command finds them again, and
waits for those that are still there instead of submitting the same twice.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import write_text
from asrkit.queues.processes import Ended, Task, problem_of, start, stop
from asrkit.records import read_json

log = logging.getLogger(__name__)

LOOK_AGAIN = {"slurm": 10.0, "local": 0.5}
"""Seconds between two looks at the jobs, by the kind of cluster."""
GRACE = 15.0
"""Seconds until the result of a job that has ended is surely seen on a shared disk."""
LOST = "its job {job} has ended without a result: {error}"


class RowJob:
    """What a job of the cluster does: a process, which saves if the job must end.

    Args:
        task: The process.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> Ended:
        """Runs the process, and returns how it has ended."""
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        self._process = start(self.task, environment)
        code = self._process.wait()
        self._process = None
        return Ended(self.task.name, problem_of(self.task, code))

    def checkpoint(self, *arguments: Any, **settings: Any) -> Any:
        """Returns what submitit submits again when the job is preempted, or out of time."""
        if self._process is not None:
            stop([self._process])
            self._process = None
        return _submitit().helpers.DelayedSubmission(self)


@dataclass(frozen=True)
class Cluster:
    """Where jobs run.

    Args:
        kind: "slurm", or "local" for processes that submitit starts.
        settings: Of a job, as submitit calls them: timeout_min, gpus_per_node, slurm_partition.
        folder: What submitit keeps of jobs, and which job each task is.
    """

    kind: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def known(self) -> Path:
        """Which job each task is."""
        return self.folder / "jobs.json"


def cluster_of(kind: str | None, settings: Mapping[str, Any], folder: Path) -> Cluster | None:
    """Returns where jobs run, None where this machine is meant.

    Raises:
        UserError: If there are settings of jobs, but no cluster.
    """
    if settings and kind is None:
        raise UserError("--cluster-option is of jobs of a cluster: give --cluster as well")
    return None if kind is None else Cluster(kind, settings, folder)


def run_jobs(
    tasks: Sequence[Task],
    jobs: int,
    told: Callable[[Ended], None],
    cluster: Cluster,
) -> list[Ended]:
    """Runs processes as jobs of a cluster, and returns how they ended.

    Args:
        tasks: A process for each job.
        jobs: How many run together.
        told: Called for each that has ended.
        cluster: Where.

    Raises:
        UserError: If submitit is not installed, or the cluster takes no jobs.
    """
    waiting = _submitted(tasks, jobs, cluster)
    ended: list[Ended] = []
    while waiting:
        queued = _queued(cluster)
        for name, job in list(waiting.items()):
            if _has_ended(job, cluster, queued):
                del waiting[name]
                ended.append(_result(name, job))
                told(ended[-1])
        time.sleep(LOOK_AGAIN[cluster.kind] if waiting else 0.0)
    return ended


def _submitted(tasks: Sequence[Task], jobs: int, cluster: Cluster) -> dict[str, Any]:
    """Returns the job of each task, those of an earlier command among them."""
    known = _known(cluster)
    found = _attached(tasks, known, cluster)
    new = [task for task in tasks if task.name not in found]
    made = _submit(new, jobs, cluster) if new else []
    found |= {task.name: job for task, job in zip(new, made, strict=True)}
    ids = {name: job.job_id for name, job in found.items()}
    write_text(cluster.known, json.dumps({**known, **ids}, indent=1) + "\n")
    for name, job in found.items():
        log.info("%s is job %s", name, job.job_id)
    return found


def _submit(tasks: Sequence[Task], jobs: int, cluster: Cluster) -> list[Any]:
    """Returns a new job for each task.

    Raises:
        UserError: If the cluster takes none.
    """
    executor = _executor(jobs, cluster)
    try:
        with executor.batch():
            return [executor.submit(RowJob(task)) for task in tasks]
    except (OSError, RuntimeError, _submitit().core.utils.FailedSubmissionError) as error:
        raise UserError(f"the cluster takes no jobs: {error}; check --cluster-option") from error


def _known(cluster: Cluster) -> dict[str, str]:
    """Returns which job each task was, as earlier commands have noted."""
    path = cluster.known
    return read_json(path, dict[str, str], "remove it") if path.is_file() else {}


def _attached(tasks: Sequence[Task], known: Mapping[str, str], cluster: Cluster) -> dict[str, Any]:
    """Returns the jobs of an earlier command that have not ended."""
    kinds = {"slurm": _submitit().SlurmJob, "local": _submitit().LocalJob}
    names = [task.name for task in tasks if task.name in known]
    jobs = {name: kinds[cluster.kind](cluster.folder, known[name]) for name in names}
    queued = _queued(cluster)
    return {name: job for name, job in jobs.items() if not _has_ended(job, cluster, queued)}


def _executor(jobs: int, cluster: Cluster) -> Any:
    executor = _submitit().AutoExecutor(cluster.folder, cluster=cluster.kind)
    settings = dict(cluster.settings)
    if cluster.kind == "slurm":
        settings.setdefault("slurm_array_parallelism", jobs)
    settings.setdefault("timeout_min", 24 * 60)
    try:
        executor.update_parameters(name="asrkit", **settings)
    except (NameError, TypeError, ValueError, AssertionError) as error:
        raise UserError(f"--cluster-option: {error}") from error
    return executor


def _queued(cluster: Cluster) -> set[str] | None:
    """Returns the jobs that Slurm has not ended; None if it does not say, or there is none."""
    if cluster.kind != "slurm":
        return None
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        found = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("can't ask which jobs are queued: %s", error)
        return None
    return set(found.stdout.decode("utf-8", "replace").split())


def _has_ended(job: Any, cluster: Cluster, queued: set[str] | None) -> bool:
    """Returns whether a job has ended.

    Submitit asks for the states that Slurm has stored, but not every cluster stores them; of a
    local job of an earlier command, it can't say.
    """
    if job.paths.result_pickle.exists():
        return True
    if queued is not None:
        return job.job_id not in queued
    if cluster.kind == "slurm" or getattr(job, "_process", None) is not None:
        return bool(job.done())
    return not Path("/proc", str(job.job_id)).exists()


def _result(name: str, job: Any) -> Ended:
    """Returns how a task has ended; that its job was lost, if it gave no result."""
    until = time.monotonic() + GRACE
    while not job.paths.result_pickle.exists():
        if time.monotonic() > until:
            said = (job.stderr() or "").strip().split("\n")[-1]
            return Ended(name, LOST.format(job=job.job_id, error=said or "it is not queued"))
        time.sleep(LOOK_AGAIN["local"])
    try:
        ended = job.result()
    except Exception as error:  # whatever submitit raises for a job that is gone
        said = str(error).strip().split("\n")[-1]
        return Ended(name, LOST.format(job=job.job_id, error=said))
    assert isinstance(ended, Ended), "that is what RowJob returns"
    return ended


def _submitit() -> Any:
    """Returns the module submitit.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("jobs of a cluster need submitit: pip install 'asrkit[slurm]'") from None
    return submitit
