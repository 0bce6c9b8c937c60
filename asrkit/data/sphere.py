"""NIST SPHERE files within lhotse: read by libsndfile, like all others."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import soundfile
from lhotse.audio.backend import (
    CompositeAudioBackend,
    LibsndfileBackend,
    Sph2pipeSubprocessBackend,
    get_current_audio_backend,
)
from numpy.typing import NDArray


class Sphere(Sph2pipeSubprocessBackend):  # type: ignore[misc] # lhotse has no types
    """Runs sph2pipe, which few people have, for compressed files only."""

    def read_audio(
        self, path_or_fd: Any, *args: Any, **kwargs: Any
    ) -> tuple[NDArray[np.float32], int]:
        """Returns the samples (channels, N) of a file or a part of it, and its rate."""
        try:
            read: tuple[NDArray[np.float32], int] = LibsndfileBackend().read_audio(
                path_or_fd, *args, **kwargs
            )
        except soundfile.LibsndfileError:
            read = super().read_audio(path_or_fd, *args, **kwargs)
        return read


@cache
def read_sphere_without_sph2pipe() -> None:
    """Makes lhotse read SPHERE in this way, unless another backend was chosen."""
    current = get_current_audio_backend()
    if isinstance(current, CompositeAudioBackend):
        current.backends = [
            Sphere() if isinstance(backend, Sph2pipeSubprocessBackend) else backend
            for backend in current.backends
        ]
