"""TensorBoard, for display only: anything that goes wrong is a warning, and training continues."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from asrkit.files import matching, replaced

log = logging.getLogger(__name__)


class Board:
    """Writes event files as long as possible.

    Args:
        folder: Where they are.
        hidden_from: Points of this step and later ones are hidden: they will be written again.
        again_from: If set, texts and pictures of this epoch and later ones, which are counted by
            epochs, are removed: they will be written again, too.
    """

    def __init__(self, folder: Path, hidden_from: int, again_from: int | None = None) -> None:
        self._writer: Any = None
        self._said: set[str] = set()
        if not isinstance(threading.excepthook, _ThreadErrors):
            threading.excepthook = _ThreadErrors()
        if again_from is not None:
            self._try("TensorBoard", lambda: remove_events(folder, hidden_from, again_from))
        self._try("TensorBoard", lambda: self._open(folder, hidden_from))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Writes numbers of one step."""

        def add(writer: Any) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        self.show("TensorBoard", add)

    def flush(self) -> None:
        """Waits until all is written."""
        self.show("TensorBoard", lambda writer: writer.flush())

    def close(self) -> None:
        """Ends the thread that writes."""
        self.show("TensorBoard", lambda writer: writer.close())

    def show(self, what: str, action: Callable[[Any], object]) -> None:
        """Uses the writer; the first error is logged.

        Args:
            what: What is shown, for the warning.
            action: What is done.
        """
        if self._writer is not None:
            self._try(what, lambda: action(self._writer))

    def _open(self, folder: Path, hidden_from: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=hidden_from)

    def _try(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # disks, drawing, the model on the few utterances shown
            if what not in self._said:
                log.warning("%s can't be shown: %s; training continues", what, _reason(error))
            self._said.add(what)


def remove_events(folder: Path, step: int, epoch: int) -> None:
    """Removes a step and an epoch, and all later ones, from the event files of a folder.

    Args:
        folder: Where they are.
        step: Numbers are counted by it.
        epoch: Texts and pictures are counted by it.
    """
    for path in matching(folder, "events.out.tfevents.*"):
        with replaced(path) as partial, partial.open("wb") as file:
            writer = RecordWriter(file)
            for raw in RawEventFileLoader(str(path)).Load():
                event = Event.FromString(raw)
                values = event.summary.value
                numbers = all(value.HasField("simple_value") for value in values)
                if not values or event.step < (step if numbers else epoch):
                    writer.write(raw)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]


class _ThreadErrors:
    """Lets the writer's thread end without a traceback: the next call raises its error."""

    def __init__(self) -> None:
        self.before = threading.excepthook

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        if type(arguments.thread).__name__ != "_AsyncWriterThread":
            self.before(arguments)
