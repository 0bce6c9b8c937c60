"""Signals to run.sh reach the command of its stage, which may save; exit codes stay."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = """
set -euo pipefail
cd "$(dirname "$0")"
source {stages}
corpus=corpus data=data run='run/<spec>' conf=conf/small.yaml
parse_options "$@"
stage 5 "save" -- bash save.sh
stage 6 "next" -- touch went_on
"""
# Saves on a signal, counts how often it came, and takes a while for it. Bash forgets an INT that
# comes as a program of its own ends, so there is none until then.
COMMAND = """
for name in TERM HUP USR1 USR2 INT; do trap "echo $name >> got; code={code}" $name; done
code=''
: >started
for _ in $(seq 100); do
  sleep 0.05 & wait $!
  if [[ $code && ! -e saving ]]; then touch saving; elif [[ $code ]]; then sleep 1; exit "$code"; fi
done
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "small.yaml").write_text("seed: 1\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "asrkit").touch(mode=0o755)
    (tmp_path / "run.sh").write_text(RECIPE.format(stages=ROOT / "tools" / "stages.sh"))
    (tmp_path / "save.sh").write_text(COMMAND.format(code=75))
    return tmp_path


def environment(recipe: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{recipe / 'bin'}:{os.environ['PATH']}"}


def start(recipe: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "run.sh", *options],
        cwd=recipe,
        env=environment(recipe),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "INT"])
def test_a_signal_reaches_the_command_and_its_exit_code_comes_back(recipe: Path, name: str) -> None:
    process = start(recipe)
    wait_for((recipe / "started").exists)
    process.send_signal(signal.Signals[f"SIG{name}"])
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 75
    assert (recipe / "got").read_text().split() == [name]
    assert "stage 5 (save) was stopped and has saved its work (exit code 75)" in said
    assert not (recipe / "went_on").exists()


def test_signals_while_it_saves_reach_it_too_and_run_sh_waits(recipe: Path) -> None:
    process = start(recipe)
    wait_for((recipe / "started").exists)
    process.send_signal(signal.SIGTERM)
    wait_for((recipe / "saving").exists)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # bash may lose one of two that come at the same time
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=300)
    assert process.returncode == 75
    assert sorted((recipe / "got").read_text().split()) == ["HUP", "TERM", "TERM"]


def test_a_command_that_ends_well_all_the_same_is_marked_and_nothing_follows(recipe: Path) -> None:
    (recipe / "save.sh").write_text(COMMAND.format(code=0))
    process = start(recipe)
    wait_for((recipe / "started").exists)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 75
    assert "stopped by SIGTERM after stage 5 (save)" in said
    assert not (recipe / "went_on").exists()
    process = start(recipe)
    said, _ = process.communicate(timeout=300)
    assert "stage 5: save: up to date" in said
    assert (recipe / "went_on").exists()


def test_the_command_reads_what_run_sh_is_given(recipe: Path) -> None:
    (recipe / "save.sh").write_text('read -r word; echo "got $word"\n')
    process = start(recipe)
    said, _ = process.communicate("a word\n", timeout=300)
    assert process.returncode == 0, said
    assert "got a word" in said


def test_ctrl_c_in_a_terminal_reaches_the_command_once(recipe: Path) -> None:
    (recipe / "save.sh").write_text(COMMAND.format(code=130))
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(recipe)
        os.execvpe("bash", ["bash", "run.sh"], environment(recipe))
    wait_for((recipe / "started").exists)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    assert (recipe / "got").read_text().split() == ["INT"]
    assert not (recipe / "went_on").exists()


@pytest.mark.parametrize(("name", "code"), [("USR1", 75), ("INT", 130)])
def test_torchrun_hides_the_exit_code_but_not_the_signal(
    recipe: Path, name: str, code: int
) -> None:
    (recipe / "save.sh").write_text(COMMAND.format(code=1))
    script = (recipe / "run.sh").read_text()
    (recipe / "run.sh").write_text(script.replace("-- bash", '-- "${trainer[@]/asrkit/bash}"'))
    (recipe / "bin" / "torchrun").write_text("#!/bin/bash\nexec bash save.sh\n")
    (recipe / "bin" / "torchrun").chmod(0o755)
    process = start(recipe, "--gpus", "2")
    wait_for((recipe / "started").exists)
    process.send_signal(signal.Signals[f"SIG{name}"])
    said, _ = process.communicate(timeout=300)
    assert process.returncode == code, said
    assert "failed" not in said
    assert not (recipe / "went_on").exists()
