"""Jobs of a real Slurm, a cluster of this machine alone, where its programs are installed."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from asrkit.queues import cluster as clusters
from asrkit.queues.cluster import Cluster, run_jobs
from tests.cli.json_test import folder as made
from tests.experiment.ablation_test import asrkit
from tests.experiment.ablation_test import place as project
from tests.queues.interrupted import is_found_again, task

folder, place = made, project

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
SETTINGS = """
ClusterName=asrkit
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
WITHIN = {"timeout_min": 5}
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MISSING = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
MISSING += ["the module submitit"] if find_spec("submitit") is None else []
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)}: install slurmctld, slurmd, slurm-client, munge, asrkit[slurm]",
)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A controller and a node, which end with the test."""
    folder = tmp_path / "slurm"
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    config = folder / "slurm.conf"
    config.write_text(
        SETTINGS.format(
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            folder=folder,
            ports=free_ports(),
            cores=os.cpu_count(),
        )
    )
    (folder / "cgroup.conf").touch()
    monkeypatch.setenv("PATH", PATH)
    monkeypatch.setenv("SLURM_CONF", str(config))
    monkeypatch.setitem(clusters.LOOK_AGAIN, "slurm", 0.5)
    key, munge = folder / "munge" / "key", folder / "munge"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
    options = [f"--key-file={key}", f"--socket={munge}/socket", f"--pid-file={munge}/pid"]
    options += [f"--log-file={munge}/log", f"--seed-file={munge}/seed"]
    daemons = [
        ["munged", "--foreground", "--force", *options],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    started = []
    try:
        for words in daemons:
            with (folder / f"{words[0]}.out").open("w") as out:
                started.append(subprocess.Popen(words, stdout=out, stderr=out))
            wait_for(Path(munge, "socket").exists, started)
        wait_for(is_idle, started)
        yield Cluster("slurm", WITHIN, tmp_path / "jobs")
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def free_ports() -> list[int]:
    """Returns two ports that no other program uses."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


def is_idle() -> bool:
    found = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False)
    return found.stdout.strip() == "idle"


def wait_for(there: Callable[[], bool], processes: list[subprocess.Popen[bytes]]) -> None:
    """Waits until something is there, as long as all processes run."""
    until = time.monotonic() + 120
    while not there():
        assert all(process.poll() is None for process in processes), "a daemon has ended"
        assert time.monotonic() < until, "the cluster does not start"
        time.sleep(0.1)


def test_jobs_of_slurm_end_as_processes_do_are_found_again_and_may_be_cancelled(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_found_again(slurm, tmp_path, monkeypatch)
    # A job that ends without a result is told as lost, though this cluster stores no states.
    monkeypatch.setattr(clusters, "GRACE", 1.0)
    cancel = "import os, subprocess; subprocess.run(['scancel', os.environ['SLURM_JOB_ID']])\n"
    cancel += "import time; time.sleep(60)"
    (lost,) = run_jobs([task(tmp_path, "lost", cancel)], 1, print, slurm)
    assert lost.problem is not None
    assert "has ended without a result" in lost.problem


def test_a_study_is_trained_by_slurm(slurm: Cluster, place: Path) -> None:
    words = "ablate --json --base base.yaml --variants wide.yaml --data data --out out --epochs 1"
    words += " --set dev --search best --jobs 2 --cluster slurm --cluster-option timeout_min=5"
    shutil.copy("variants/wide.yaml", "wide.yaml")
    done = asrkit(words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {row["row"]: row["done"] for row in found["rows"]} == {"base-1": True, "wide-1": True}
    assert all(len(row["rates"]) == 1 for row in found["numbers"])
