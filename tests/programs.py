"""Programs of recipes and tools, run in the process of the tests, whose imports they share."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from subprocess import CompletedProcess

import torch
from click.testing import CliRunner


def run_program(path: Path, *words: object) -> CompletedProcess[str]:
    """Runs a program; what it raises, other than its end, is raised here."""
    threads, search = torch.get_num_threads(), list(sys.path)
    try:
        main = runpy.run_path(str(path))["main"]
        done = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    finally:
        torch.set_num_threads(threads)
        sys.path[:] = search
    return CompletedProcess([str(path)], done.exit_code, done.stdout, done.stderr)
