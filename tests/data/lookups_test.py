from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet

from asrkit.data.cuts import read_cut
from asrkit.data.feasibility import listen
from asrkit.data.manifests import Source, open_set, write_manifest


@pytest.fixture
def cuts(tmp_path: Path) -> CutSet:
    sources = []
    for name in ("good", "bad"):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.arange(1600, dtype=np.int16), 16000, subtype="PCM_16")
        sources.append(Source(name, path, "A", "s"))
    write_manifest(tmp_path, "set", sources)
    return open_set(tmp_path, ["set"])


def fail_with(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Lets all look-ups of the path bad.wav fail."""
    real: Callable[..., Any] = os.stat

    def stat(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).endswith("bad.wav"):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EACCES, errno.EIO, errno.ENAMETOOLONG])
def test_a_path_that_cannot_be_looked_up_is_unreadable_audio(
    cuts: CutSet, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_with(monkeypatch, number)
    problems = [listen(cut, 16000).trouble for cut in cuts]
    assert problems[0] is None
    assert problems[1] is not None
    assert problems[1].reason == "unreadable audio"
    assert os.strerror(number) in problems[1].detail


def test_too_many_open_files_are_no_fault_of_an_utterance(
    cuts: CutSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, errno.EMFILE)
    with pytest.raises(OSError, match="Too many open files"):
        read_cut(cuts["bad"], 16000)


def test_a_manifest_leaves_such_a_path_out(
    tmp_path: Path, cuts: CutSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_with(monkeypatch, errno.ESTALE)
    sources = [Source(cut.id, tmp_path / f"{cut.id}.wav", "A", "s") for cut in cuts]
    with caplog.at_level(logging.WARNING):
        assert write_manifest(tmp_path, "again", sources) == 1
    assert os.strerror(errno.ESTALE) in caplog.text


def test_a_name_that_is_too_long_is_not_told_whole(cuts: CutSet) -> None:
    cut = cuts["bad"]
    cut.recording.sources[0].source = "/tmp/" + "x" * 3000 + ".flac"
    problem = listen(cut, 16000).trouble
    assert problem is not None
    assert "File name too long" in problem.detail
    assert len(problem.detail) < 300
