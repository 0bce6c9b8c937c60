from __future__ import annotations

import logging
import os
import signal
import time
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from asrkit.data import workers
from asrkit.data.batch import Batch
from asrkit.data.utterances import Read
from asrkit.data.workers import read_ahead
from asrkit.errors import UserError


def read(number: int) -> Read:
    lengths = torch.tensor([3])
    signal_ = torch.full((1, 3), number, dtype=torch.int16)
    return Batch([f"u{number}"], signal_, lengths, lengths[:, None], lengths), [f"{number}?"]


@pytest.mark.parametrize("processes", [0, 2])
def test_batches_come_in_order(processes: int) -> None:
    found = list(read_ahead(read, range(5, 25), processes))
    for number, (batch, problems) in enumerate(found, start=5):
        expected = read(number)[0]
        assert batch is not None
        assert expected is not None
        assert batch.ids == expected.ids
        assert torch.equal(batch.signal, expected.signal)
        assert batch.signal.dtype == torch.int16
        assert problems == [f"{number}?"]
    assert len(found) == 20
    assert not active_children()


def test_errors_of_a_process_arrive_as_they_are() -> None:
    def wrong(number: int) -> Read:
        raise OSError(24, "Too many open files", "x.flac")

    with pytest.raises(OSError, match="Too many open files: 'x.flac'"):
        list(read_ahead(wrong, range(3), 2))
    assert not active_children()


def test_reading_that_is_given_up_leaves_no_process() -> None:
    def slow(number: int) -> Read:
        time.sleep(60 if number else 0)
        return read(number)

    batches = read_ahead(slow, range(9), 2)
    next(batches)
    begin = time.monotonic()
    batches.close()
    assert time.monotonic() - begin < 30
    assert not active_children()


def test_a_killed_process_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def dies_once(number: int) -> Read:
        if number == 6 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return read(number)

    with caplog.at_level(logging.WARNING):
        found = list(read_ahead(dies_once, range(12), 2))
    assert [batch.ids for batch, _ in found if batch] == [[f"u{n}"] for n in range(12)]
    assert "was killed" in caplog.text


def test_one_that_is_killed_again_and_again_ends_the_reading() -> None:
    def dies(number: int) -> Read:
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(number)

    with pytest.raises(UserError, match=r"3 times with the same batch.*same command continues"):
        list(read_ahead(dies, range(9), 2))
    assert not active_children()


def test_batches_are_sent_without_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_read", read)
    sent = workers._read_packed(3)
    assert not [value for value in sent["batch"].values() if isinstance(value, torch.Tensor)]
