"""Output must not stop the work: stdout or stderr may be closed, or their disk full."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Literal

log = logging.getLogger(__name__)


class ForgivingStream:
    """A text stream that drops what can't be written, and says so once.

    Args:
        stream: Where text goes.
        complain: Called with the first error.
    """

    def __init__(self, stream: Any, complain: Callable[[OSError], None]) -> None:
        self._stream, self._complain, self._failed = stream, complain, False

    def write(self, text: str) -> int:
        """Writes a text."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes some texts."""
        self._try(lambda: self._stream.writelines(lines))

    def flush(self) -> None:
        """Flushes the stream."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._complain(error)


def forgive(name: Literal["stdout", "stderr"]) -> None:
    """Makes this process continue if a standard stream is closed or full."""
    stream = getattr(sys, name)
    if stream is not None and not isinstance(stream, ForgivingStream):
        setattr(sys, name, ForgivingStream(stream, _say if name == "stdout" else _say_nothing))


def _say(error: OSError) -> None:
    log.warning("stdout can't be written (%s): continuing without it", error.strerror or error)


def _say_nothing(error: OSError) -> None:
    """Does nothing: there is no stream left for a message."""
