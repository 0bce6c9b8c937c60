"""Pictures need no backend of windows or notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asrkit.plotting import new_figure, pixels

DRAW = """
from asrkit.plotting import new_figure, pixels
figure = new_figure(2, 1)
figure.add_subplot().set_title("$no_formula$ a_$", parse_math=False)
figure.savefig("picture.png")
print(pixels(figure).shape)
import os
print(os.environ["MPLBACKEND"])
"""


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "nbagg2", "qtagg"]
)
def test_any_backend_in_the_environment_does_no_harm(tmp_path: Path, backend: str) -> None:
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split("\n")[:2] == ["(100, 200, 3)", backend]
    assert (tmp_path / "picture.png").stat().st_size > 100


def test_pixels_are_those_of_the_picture() -> None:
    figure = new_figure(1, 1)
    assert (pixels(figure) == 255).all()
    figure.set_facecolor("black")
    assert (pixels(figure) == 0).all()
