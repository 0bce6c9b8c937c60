"""Plots are drawn in memory, whatever backend the environment names.

Notebooks and desktops set MPLBACKEND to a backend for their windows, which may be missing here;
then matplotlib can't be imported. So only this module imports it, and none imports pyplot.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKEND = "MPLBACKEND"


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of the given size in inches, for files and arrays only."""
    with _without_backend():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """Returns the pixels (height, width, 3) of a figure from `new_figure`."""
    canvas: Any = figure.canvas  # its methods are not annotated
    canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)[:, :, :3]


@contextmanager
def _without_backend() -> Iterator[None]:
    named = os.environ.pop(BACKEND, None)
    try:
        yield
    finally:
        if named is not None:
            os.environ[BACKEND] = named  # for other programs started from here
