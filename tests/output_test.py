"""A closed or full stdout or stderr ends no training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys
from rich.console import Console
from rich.logging import RichHandler
from asrkit.output import forgive
forgive("stdout"); forgive("stderr")
logging.basicConfig(handlers=[RichHandler(console=Console(stderr=True, width=200))])
for _ in range(3):
    print("a line" * 1000, flush=True)
    logging.warning("a warning")
open(sys.argv[1], "w").write("done")
"""


def run(shell: str, place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(place)]
    words = ["bash", "-c", f'"$0" "$@" {shell}', *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_full_disks_and_closed_pipes_are_said_once(tmp_path: Path) -> None:
    for shell in (">/dev/full", "| head -n 0", "2>/dev/full", "2>&1 | head -n 0", ">&- 2>&-"):
        place = tmp_path / "done"
        found = run(shell, place)
        assert place.read_text() == "done", shell
        assert "Traceback" not in found.stderr
        if shell.startswith(">/dev/full"):
            assert found.returncode == 0
            assert found.stderr.count("stdout can't be written (No space left on device)") == 1
        place.unlink()
