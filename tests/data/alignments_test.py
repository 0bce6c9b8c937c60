"""Alignments as files, and as a part of batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asrkit.data.alignments import Alignments, read_alignments
from asrkit.data.batch import Batch
from asrkit.data.cuts import at_speed, num_samples_at
from asrkit.errors import UserError


def test_alignments_are_read_as_written(tmp_path: Path) -> None:
    alignments = Alignments(blank=5)
    alignments.add("b", 1.0, [5, 4, 5])
    alignments.add("a", 0.9, [])
    alignments.write(tmp_path / "x.tsv")
    assert (tmp_path / "x.tsv").read_text() == "a\t0.9\t\nb\t1\t- 4 -\n"
    found = read_alignments([tmp_path / "x.tsv"], blank=7)
    assert found.of("b", 1.0).tolist() == [7, 4, 7]
    assert found.of("a", 0.9).tolist() == []
    with pytest.raises(UserError, match="no alignment of b at speed 0.9"):
        found.of("b", 0.9)
    (tmp_path / "x.tsv").write_text("b\t1\t- x\n")
    with pytest.raises(UserError, match=r"x\.tsv:1 is not an alignment"):
        read_alignments([tmp_path / "x.tsv"], blank=7)


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1, 0.85])
@pytest.mark.parametrize("size", [1, 160, 1603, 8001])
def test_the_length_at_a_speed_is_known_before_it_is_played(speed: float, size: int) -> None:
    samples = torch.zeros(size, dtype=torch.int16)
    played = samples if speed == 1.0 else at_speed(samples, speed)
    assert num_samples_at(size, speed) == len(played)


def test_halves_have_alignments_of_their_own_length() -> None:
    alignment = torch.tensor([[1, 2, 3, 4], [1, 2, -1, -1]])
    sizes = torch.tensor([4, 2])
    batch = Batch(["a", "b"], torch.zeros(2, 4), sizes, torch.ones(2, 1).long(), sizes, alignment)
    first, second = batch.halves()
    assert first.alignment is not None
    assert second.alignment is not None
    assert first.alignment.tolist() == [[1, 2, 3, 4]]
    assert second.alignment.tolist() == [[1, 2]]
