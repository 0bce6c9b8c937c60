"""Imports the stored ESPnet2 models of tests/foreign, and exports each to a folder of its own.

    export PYTHONPATH=.
    python tools/parity/espnet_back.py FOLDER

It runs in asrkit's environment; `espnet_load.py FOLDER` then loads them into ESPnet.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from safetensors import safe_open

from asrkit.experiment import export_model, import_model
from asrkit.utf8 import use_utf8
from tests.foreign.stored_models import put_espnet, put_one_of

STORED = Path("tests/foreign")
ENCODERS = ("conformer", "e_branchformer")


def main() -> None:
    """Reads the command line, and writes the folders."""
    use_utf8()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as name:
        for kind, checkpoint in checkpoints(Path(name)).items():
            run = import_model("espnet", checkpoint, Path(name) / "runs" / kind).run
            export_model("espnet", run, folder / kind)
            print(f"{folder / kind}")


def checkpoints(place: Path) -> dict[str, Path]:
    """Puts all models below a folder as ESPnet writes them, and returns their weights by name."""
    found = {kind: put_espnet(place / kind, kind) for kind in ENCODERS}
    for file in ("espnet-variants", "espnet-lms"):
        with safe_open(STORED / f"{file}.safetensors", "pt") as stored:
            kinds = [n.removesuffix("/config") for n in stored.metadata() if n.endswith("/config")]
        found |= {kind: put_one_of(file, kind, place / kind).checkpoint for kind in sorted(kinds)}
    return found


if __name__ == "__main__":
    main()
