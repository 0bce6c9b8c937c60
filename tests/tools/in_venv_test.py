"""The first command installs what it needs and no more, once, without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
if [[ $1 == -c ]]; then exit "${OLD_PYTHON:-0}"; fi
mkdir -p "$3/bin"
cp "$(dirname "$0")/pip" "$3/bin/pip"
"""
PIP = """#!/bin/bash
echo "${@: -1}" >>"$LOG"
if [[ ${@: -1} == *"[$BROKEN]" ]]; then echo "error: command 'g++' failed" >&2; exit 1; fi
"""


class Project:
    """A project of its own with in_venv.sh, and a Python whose pip only writes what is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("tools/in_venv.sh", "setup.py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for name, text in (("python", PYTHON), ("pip", PIP)):
            self.script(f"fake/{name}", text)
        self.script("tests/run.sh", "#!/bin/sh\necho tested\n")
        self.script("other/tests/run.sh", "#!/bin/sh\necho other\n")

    def script(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        own = {
            "PYTHON": str(self.folder / "fake" / "python"),
            "LOG": str(self.folder / "log"),
            "ASRKIT_VENV": str(self.folder / "venv & more"),
            "BROKEN": "none",
            "CDPATH": "/",
        }
        done = subprocess.run(
            ["bash", "tools/in_venv.sh", *words],
            cwd=self.folder,
            env=os.environ | own | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def installed(self) -> list[str]:
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.is_file() else []
        return [line.rpartition("[")[2].rstrip("]") for line in lines]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a project")


def test_a_recipe_gets_no_packages_of_tests(project: Project) -> None:
    assert "hello" in project.run("echo", "hello")
    assert "other" in project.run("other/tests/run.sh")
    assert project.installed() == ["toy"]


def test_the_tests_get_theirs_and_a_recipe_then_needs_nothing(project: Project) -> None:
    assert "tested" in project.run("./tests/run.sh")
    assert "installing" not in project.run("echo", "hello")
    assert project.installed() == ["test", "kenlm"]


def test_the_tests_get_theirs_after_a_recipe(project: Project) -> None:
    project.run("true")
    project.run("tests/run.sh")
    project.run("tests/run.sh")
    assert project.installed() == ["toy", "test", "kenlm"]


def test_without_a_compiler_tests_run_without_kenlm(project: Project) -> None:
    said = project.run("tests/run.sh", BROKEN="kenlm")
    assert "kenlm can't be built, which needs a C++ compiler" in said
    assert "tested" in said
    assert "g++" in (project.folder / "venv & more" / "kenlm.log").read_text()
    project.run("tests/run.sh")
    assert project.installed() == ["test", "kenlm"]


def test_an_installation_that_fails_is_tried_again(project: Project) -> None:
    assert "hello" not in project.run("echo", "hello", code=1, BROKEN="toy")
    project.run("echo", "hello")
    assert project.installed() == ["toy", "toy"]


def test_another_setup_is_installed_anew(project: Project) -> None:
    project.run("true")
    with (project.folder / "setup.py").open("a") as file:
        file.write("# changed\n")
    project.run("true")
    assert project.installed() == ["toy", "toy"]


def test_an_old_python_is_named(project: Project) -> None:
    said = project.run("true", code=2, OLD_PYTHON="1")
    assert "is not Python 3.11 or newer; name one: PYTHON=python3.12" in said
    assert project.installed() == []
