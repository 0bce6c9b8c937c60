"""Recipes without work: their run.sh runs, and each command that it would start is taken down."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import click

from asrkit.cli import main
from tests.documentation.commands import ROOT

LOG = '(IFS=$\'\\x1f\'; printf "%s\\n" "{name}\x1f$PWD\x1f$*") >>"$LOG"\n'
ASRKIT = """
while (($#)); do
  if [[ $1 == --search ]]; then mkdir -p "$run/tune"; touch "$run/tune/$2.yaml"; fi
  if [[ $1 == --run ]]; then
    run=$2
    mkdir -p "$run/checkpoints"
    touch "$run/checkpoints/"{index.json,average.pt} "$run/resolved.yaml"
  fi
  shift
done
"""
PYTHON = """
case $* in
  "-m asrkit files stage"*) echo "$(cksum <<<"$*" | cut -d' ' -f1) command" ;;
  "-m asrkit files sets"*) for name in dev test; do echo $name; done ;;
  *--priors) ;;
  "-m asrkit files searches"*) echo joint ;;
  "-m asrkit files hears conf/hybrid.yaml"*) echo audio ;;
  "-m asrkit files hears"*) echo features ;;
  "-m asrkit files heads conf/ctc-phones"*) echo phones ;;
  "-m asrkit files heads conf/lfmmi"*) echo chain ;;
  "-m asrkit files heads"*) echo states ;;
  "-m asrkit files run"*) echo "$4/tune/joint.yaml" ;;
esac
"""
TORCHRUN = 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"\n'
DATA = ["data", "data/mini", "data/100h", "data/960h", "data/split", "toy/data"]
SBATCH = 'while [[ $1 != --wrap ]]; do shift; done; exec bash -c "$2"\n'


class DryProject:
    """A copy of the recipes whose programs only say what they were told.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("run", "data", "toy", "corpus", "results", "RESULTS.md")
        shutil.copytree(ROOT / "recipes", folder / "recipes", ignore=ignored)
        for name in ("tools", "bin"):
            (folder / name).mkdir()
        for name in ("stages.sh", "standard_stages.sh", "hybrid_stages.sh", "signals.sh"):
            shutil.copy(ROOT / "tools" / name, folder / "tools")
        self._program("tools/in_venv.sh", 'exec "$@"\n')
        bodies = {"asrkit": ASRKIT, "python": PYTHON, "torchrun": TORCHRUN, "sbatch": SBATCH}
        for name, body in bodies.items():
            self._program(f"bin/{name}", LOG.format(name=name) + body)
        for recipe in (folder / "recipes").iterdir():
            for part in DATA:
                (recipe / part / "manifests").mkdir(parents=True)
                for name in ("train", "dev", "test"):
                    (recipe / part / "manifests" / f"{name}.jsonl").touch()

    def _program(self, name: str, body: str) -> None:
        (self.folder / name).write_text("#!/bin/bash\n" + body)
        (self.folder / name).chmod(0o755)

    def run(self, command: str, place: Path) -> None:
        """Runs a command where it is documented, and checks those that it starts."""
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        for marks in list(self.folder.rglob(".done")):
            shutil.rmtree(marks)
        path = f"{self.folder / 'bin'}:{self.folder / place}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder / place,
            env={**os.environ, "PATH": path, "LOG": str(log)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if command.endswith("--help"):
            assert done.stdout.startswith("usage: ")
            return
        lines = log.read_text().splitlines()
        assert any(line.startswith("asrkit\x1f") for line in lines), lines
        for line in lines:
            name, folder, *words = line.split("\x1f")
            if name == "asrkit":
                understand(main, words)
                specs = (word for word in words if re.search(r"^conf/.*\.yaml$", word))
                assert all((Path(folder) / spec).is_file() for spec in specs), words
            elif name == "python" and words[0] != "-m":
                script = ROOT / Path(folder, words[0]).resolve().relative_to(self.folder.resolve())
                understand(runpy.run_path(str(script))["main"], words[1:])


def understand(command: click.Command, words: list[str]) -> None:
    """Reads words as a program would do; unknown verbs, options and values end the test."""
    if isinstance(command, click.Group):
        verb, *rest = words
        assert verb in command.commands, words
        understand(command.commands[verb], rest)
        return
    with command.make_context(command.name, list(words)):
        pass
