"""A training that goes on within an epoch with other batches uses the rest of it, and once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkit.data.dataset import CutData
from asrkit.data.text import Sentences, TextData, TextSettings
from asrkit.errors import UserError
from asrkit.training.sources import NoBatches, go_on, mark
from tests.data.data_test import make_data

Make = Callable[..., "CutData | TextData"]
ITEMS = 23


def make_text(folder: Path, rank: int = 0, world_size: int = 1, **changes: Any) -> TextData:
    text = np.arange(3 * changes.pop("sentences", ITEMS), dtype=np.int32) + changes.pop("shift", 0)
    sentences = Sentences(text, np.arange(0, len(text) + 1, 3))
    settings = TextSettings(["train"], [], **{"batch_labels": 12, **changes})
    return TextData(sentences, settings, 1, True, rank, world_size)


def used(sources: list[CutData | TextData], start: int, end: int | None = None) -> Iterator[str]:
    """Yields what each process takes in epoch 1, from batch `start` to `end`."""
    for source in sources:
        for number, batch in enumerate(source.batches(1, start), start=start):
            if end is not None and number >= end:
                break
            yield from batch.ids


def processes(make: Make, folder: Path, count: int, **changes: Any) -> list[CutData | TextData]:
    return [make(folder, rank=rank, world_size=count, **changes) for rank in range(count)]


def everything(make: Make, folder: Path) -> list[str]:
    return sorted(used([make(folder)], 0))


CASES: list[tuple[Make, dict[str, Any], dict[str, Any]]] = [
    (make_data, {"max_utterances": 2}, {"max_utterances": 3}),
    (make_data, {"max_utterances": 2}, {"max_utterances": 2, "speeds": [1.1]}),
    (make_text, {}, {"batch_labels": 20}),
]


@pytest.mark.parametrize(("make", "first", "then"), CASES)
@pytest.mark.parametrize("counts", [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_other_batches_are_of_what_is_left(
    tmp_path: Path, make: Make, first: dict[str, Any], then: dict[str, Any], counts: tuple[int, int]
) -> None:
    before = processes(make, tmp_path, counts[0], **first)
    after = processes(make, tmp_path, counts[1], **then)
    place = before[0].mark(1, 2)
    for source in after:
        assert "has changed within epoch 1" in source.go_on(1, 2, place)
    found = [*used(before, 0, 2), *used(after, 2)]
    assert sorted(found) == everything(make, tmp_path)


@pytest.mark.parametrize("make", [make_data, make_text])
@pytest.mark.parametrize("counts", [(1, 2), (2, 1), (2, 3)])
def test_other_processes_share_the_batches_that_are_left(
    tmp_path: Path, make: Make, counts: tuple[int, int]
) -> None:
    before, after = (processes(make, tmp_path, count) for count in counts)
    place = before[0].mark(1, 1)
    for source in after:
        assert f"{counts[1]} processes instead of {counts[0]}" in source.go_on(1, 1, place)
    found = [*used(before, 0, 1), *used(after, 1)]
    assert sorted(found) == everything(make, tmp_path)
    assert max(source.num_batches(1) for source in after) > 1


@pytest.mark.parametrize("make", [make_data, make_text])
def test_the_same_batches_go_on_where_they_were_after_changes_too(
    tmp_path: Path, make: Make
) -> None:
    place = make(tmp_path).mark(1, 1)
    changed = make(tmp_path, world_size=2)
    changed.go_on(1, 1, place)
    whole = [batch.ids for batch in changed.batches(1, 1)]
    again = make(tmp_path, world_size=2)
    assert again.go_on(1, 2, changed.mark(1, 2)) == ""
    assert [batch.ids for batch in again.batches(1, 2)] == whole[1:]
    assert again.num_batches(1) == changed.num_batches(1)
    assert again.num_batches(2) == make(tmp_path, world_size=2).num_batches(2)


def test_changes_after_changes_count_all_that_is_done(tmp_path: Path) -> None:
    sources = [make_text(tmp_path, batch_labels=size) for size in (12, 20, 8, 12)]
    found = [*used(list(sources[:1]), 0, 1)]
    for number, (before, after) in enumerate(zip(sources, sources[1:], strict=False), start=1):
        after.go_on(1, number, before.mark(1, number))
        found += used([after], number, number + 1)
    found += used(list(sources[-1:]), len(sources))
    assert Counter(found) == Counter(everything(make_text, tmp_path))


def test_changed_text_is_used_whole(tmp_path: Path) -> None:
    place = make_text(tmp_path).mark(1, 3)
    other = make_text(tmp_path, shift=1)
    assert "of its 23 items 0 are done, the other 23" in other.go_on(1, 3, place)
    assert len(list(used([other], 3))) == ITEMS


def test_an_epoch_of_which_all_is_done_ends(tmp_path: Path) -> None:
    source = make_text(tmp_path)
    place = source.mark(1, source.num_batches(1))
    other = make_text(tmp_path, batch_labels=20)
    other.go_on(1, 7, place)
    assert other.num_batches(1) == 7
    assert list(other.batches(1, 7)) == []


def test_parts_of_an_epoch_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no sentence: lower data.sub_epochs"):
        make_text(tmp_path, sub_epochs=99).num_batches(1)
    with pytest.raises(UserError, match="has no utterance: lower data.sub_epochs"):
        make_data(tmp_path, sub_epochs=99).num_batches(1)


def test_checkpoints_of_older_versions_count_batches_alone(tmp_path: Path) -> None:
    source = make_data(tmp_path)
    assert "2 of its batches count as done" in go_on(source, 1, 2, {})
    assert go_on(source, 1, 0, {}) == ""
    whole = [batch.ids for batch in make_data(tmp_path).batches(1)]
    assert [batch.ids for batch in source.batches(1, 2)] == whole[2:]
    assert mark(source, 1, 0) == {}
    assert mark(NoBatches(), 1, 3) == {}
