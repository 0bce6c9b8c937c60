#!/usr/bin/env python3
"""Prints what a machine has, and unpacks missing packages from a pack; only needs Python itself.

    packages.py PACK FOLDER

unpacks the wheels of PACK whose packages are missing into FOLDER, without pip. PACK may be empty.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from asrkit.files import matching
from asrkit.utf8 import use_utf8

# Without these nothing runs; without the others some parts are left out.
NEEDED = ("torch", "numpy", "yaml", "click", "rich", "torchaudio", "lhotse", "soundfile")
WANTED = ("sentencepiece", "kaldialign", "safetensors", "tensorboard", "matplotlib", "pytest")
OPTIONAL = ("triton", "espnet2")


def main(pack: str, folder: Path) -> int:
    """Prints what there is; returns 1 if something essential is missing."""
    print(f"python {platform.python_version()} ({sys.executable}), {os.cpu_count()} cores")
    if pack and not Path(pack, "wheels").is_dir():
        print(f"{pack} has no folder wheels: was it made by `tools/gpu_day.sh pack`?")
        return 1
    taken = [name for name in matching(Path(pack, "wheels"), "*.whl") if pack and lacks(name)]
    for wheel in taken:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    if taken:
        print("taken from the pack: " + ", ".join(wheel.name.split("-")[0] for wheel in taken))
    sys.path.insert(0, str(folder))
    print(", ".join(f"{name} {version_of(name)}" for name in (*NEEDED, *WANTED, *OPTIONAL)))
    print(accelerator())
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"missing, and nothing runs without: {', '.join(missing)}; make a pack for Python "
            f"{sys.version_info.major}.{sys.version_info.minor} on a machine with network: "
            "tools/gpu_day.sh pack DIR"
        )
    return int(bool(missing))


def lacks(wheel: Path) -> bool:
    """Returns whether the package of a wheel is missing in this Python."""
    try:
        version(wheel.name.split("-")[0])
    except PackageNotFoundError:
        return True
    return False


def version_of(module: str) -> str:
    """Returns the version of a module's package, or that it is missing."""
    if find_spec(module) is None:
        return "MISSING"
    try:
        return version({"yaml": "pyyaml", "espnet2": "espnet"}.get(module, module))
    except PackageNotFoundError:
        return "unknown"


def accelerator() -> str:
    """Returns the driver's description of the GPUs."""
    if shutil.which("nvidia-smi") is None:
        return "no GPU: nvidia-smi is missing"
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(
        query, capture_output=True, check=False, encoding="utf-8", errors="replace"
    )
    return (done.stdout or done.stderr).strip() or "no GPU"


if __name__ == "__main__":
    use_utf8()
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
