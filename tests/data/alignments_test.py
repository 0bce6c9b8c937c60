"""Alignments as files, and as a part of batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkit.data.alignment_text import write_text
from asrkit.data.alignments import Alignments, read_alignments
from asrkit.data.batch import Batch
from asrkit.data.cuts import at_speed, num_samples_at
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


def test_alignments_are_read_as_written(tmp_path: Path) -> None:
    alignments = Alignments(targets_of("abcde"), tree="0123")
    alignments.add("b", 1.0, [5, 4, 5])
    alignments.add("a", 0.9, [])
    alignments.write(tmp_path / "x.safetensors")
    found = read_alignments([tmp_path / "x.safetensors"], alignments.targets)
    assert found.of("b", 1.0).tolist() == [5, 4, 5]
    assert found.of("a", 0.9).tolist() == []
    assert found.symbols["b", 1.0].dtype == np.int16
    assert found.tree == "0123"
    with pytest.raises(UserError, match="no alignment of b at speed 0.9"):
        found.of("b", 0.9)
    alignments.symbols = {}
    alignments.write(tmp_path / "none.safetensors")
    assert read_alignments([tmp_path / "none.safetensors"], alignments.targets).symbols == {}


def test_a_state_takes_two_bytes_where_that_is_enough(tmp_path: Path) -> None:
    sizes = {}
    for states in (12_001, 40_000):
        found = Alignments(FrameTargets(Outputs.states(states), rate="features"))
        found.add("a", 1.0, [states - 1] * 100_000)
        found.write(tmp_path / "x.safetensors")
        again = read_alignments([tmp_path / "x.safetensors"], found.targets)
        assert set(again.of("a", 1.0).tolist()) == {states - 1}
        sizes[states] = again.symbols["a", 1.0].itemsize
    assert sizes == {12_001: 2, 40_000: 4}


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path, targets = tmp_path / "x.safetensors", targets_of("ab")
    with pytest.raises(UserError, match="there are no alignments .*asrkit align"):
        read_alignments([path], targets)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"x\.safetensors is damaged: .*write it again"):
        read_alignments([path], targets)
    wrong = Alignments(targets)
    wrong.add("a", 1.0, [0, 3])
    wrong.write(path)
    with pytest.raises(UserError, match="symbol 3 is not one of 2 labels and <blank>"):
        read_alignments([path], targets)


def test_text_is_read_as_written(tmp_path: Path) -> None:
    alignments = Alignments(targets_of("abcde"))
    alignments.add("b", 1.0, [5, 4, 5])
    alignments.add("a", 0.9, [])
    targets = alignments.targets
    write_text(tmp_path / "x.tsv", targets, alignments.symbols)
    first, rest = (tmp_path / "x.tsv").read_text().split("\n", 1)
    assert first.startswith('# {"outputs": {"names": ["a", "b", "c", "d", "e", "<blank>"]')
    assert rest == "a\t0.9\t\nb\t1\t- 4 -\n"
    found = read_alignments([tmp_path / "x.tsv"], targets)
    assert found.of("b", 1.0).tolist() == [5, 4, 5]
    assert found.of("a", 0.9).tolist() == []
    (tmp_path / "x.tsv").write_text("b\t1\t- x\n")
    with pytest.raises(UserError, match=r"x\.tsv:1 is not an alignment"):
        read_alignments([tmp_path / "x.tsv"], targets)
    (tmp_path / "x.tsv").write_text("b\t1\t- 4\nc\t1\t6\n")
    with pytest.raises(UserError, match=r"x\.tsv:2 .*symbol 6 is not one of 5 labels and <blank>"):
        read_alignments([tmp_path / "x.tsv"], targets)


def targets_of(labels: str) -> FrameTargets:
    return FrameTargets(Outputs.labels_with_blank(Vocabulary(list(labels))))


def test_files_of_older_versions_hold_labels_and_blank(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("b\t1\t- 4 -\n")
    found = read_alignments([path], targets_of("abcdefg"))
    assert found.of("b", 1.0).tolist() == [7, 4, 7]
    with pytest.raises(UserError, match="trained on 3 classes.* hold labels and blank"):
        read_alignments([path], FrameTargets(Outputs.classes(["s0", "s1", "s2"])))
    with pytest.raises(UserError, match="one for each feature frame; .* one for each encoder"):
        read_alignments([path], replace(targets_of("ab"), rate="features"))


def test_a_head_may_have_more_states_than_were_aligned_but_not_fewer(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    held = Alignments(FrameTargets(Outputs.states(3), rate="features"), tree="one")
    held.add("a", 1.0, [0, 2])
    held.write(path)
    more = FrameTargets(Outputs.states(5), rate="features")
    assert read_alignments([path], more).of("a", 1.0).tolist() == [0, 2]
    with pytest.raises(UserError, match="trained on 2 classes.* hold 3 classes"):
        read_alignments([path], FrameTargets(Outputs.states(2), rate="features"))
    other = Alignments(held.targets, tree="two")
    other.write(tmp_path / "y.safetensors")
    with pytest.raises(UserError, match=r"y\.safetensors has states of another tree than .*x\.saf"):
        read_alignments([path, tmp_path / "y.safetensors"], more)


@pytest.mark.parametrize("name", ["x.tsv", "x.safetensors"])
def test_alignments_of_other_outputs_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    alignments = Alignments(FrameTargets(Outputs.classes(["s0", "s1"]), rate="features"))
    alignments.add("a", 1.0, [0, 1, 1])
    if name == "x.tsv":
        write_text(path, alignments.targets, alignments.symbols)
    else:
        alignments.write(path)
    assert read_alignments([path], alignments.targets).of("a", 1.0).tolist() == [0, 1, 1]
    with pytest.raises(UserError, match="trained on 2 labels and <blank>.* hold 2 classes"):
        read_alignments([path], targets_of("ab"))
    other = FrameTargets(Outputs.classes(["s0", "s2"]), rate="features")
    with pytest.raises(UserError, match=r"\(symbol 1 is 's1', not 's2'\)"):
        read_alignments([path], other)
    path = tmp_path / "x.tsv"
    path.write_text(
        '# {"outputs": {"names": [], "num_labels": 1, "specials": {}}, "rate": "encoder"}'
    )
    with pytest.raises(UserError, match=r"x\.tsv:1 is damaged: 1 labels among 0 symbols"):
        read_alignments([path], other)


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
