"""What a run folder remembers of how it was made: commands, code revision, machine."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

from asrkit.files import write_text
from asrkit.reports.commands import read_commands
from asrkit.run_folder import RunFolder

ODD = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")
"""Signs of a command that a line of text can't have as they are."""


def this_command() -> str:
    """Returns the command line of this process, ready to paste into a shell."""
    program = Path(sys.argv[0]).name
    # `python -m asrkit` runs a file that is not on the PATH.
    words = shlex.join(["asrkit" if program == "__main__.py" else program, *sys.argv[1:]])
    # Such words are in quotes already. A command is a line, and bytes of a name may be no UTF-8.
    return ODD.sub(lambda sign: f"'$'\\x{ord(sign[0]) & 0xFF:02x}''", words)


def record_command(run: Path) -> None:
    """Appends this process's command line to RUN/commands.txt, unless it is there already."""
    path = RunFolder(run).commands
    if this_command() not in read_commands(path):
        with path.open("a", encoding="utf-8") as file:
            file.write(this_command() + "\n")


def record_environment(run: Path, parameters: int) -> None:
    """Writes RUN/environment.json: code revision, versions, machine, model size."""
    facts = {
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),
        "parameters": parameters,
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    write_text(RunFolder(run).environment, json.dumps(facts, indent=2) + "\n")


def git_revision() -> str:
    """Returns the revision of the code, with "+changes" where the tree is edited, or "unknown"."""
    folder = Path(__file__).parents[1]
    try:
        revision = _git(folder, "rev-parse", "--short=12", "HEAD")
        return revision + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # installed from an archive, or git itself is missing


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, encoding="utf-8", errors="replace"
    )
    return done.stdout.strip()
