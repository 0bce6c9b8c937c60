"""Damaged, foreign, lost and diverged checkpoints: said, and the best that is left is used."""

from __future__ import annotations

import json
import logging
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.errors import UserError
from asrkit.training import checkpoint_index
from asrkit.training.averaging import Averaged, average_run
from asrkit.training.checkpoint_files import load, load_weights, write_atomic
from asrkit.training.checkpoint_index import Entry, read_index
from asrkit.training.checkpoints import CheckpointStore, resolve
from asrkit.training.keeping import ReloadBest
from tests.training.trainer_test import toy

NAN = math.nan
State = dict[str, Any]


@pytest.fixture(autouse=True)
def _warn_again() -> None:
    checkpoint_index._warn_once.cache_clear()


def weights_of(step: int) -> State:
    return {"model": {"weight": torch.full((300,), float(step))}}


def store_of(folder: Path, *devs: float | None, keep_best: int = 5) -> CheckpointStore:
    store = CheckpointStore(folder / "checkpoints", keep_best=keep_best)
    for step, dev in enumerate(devs, start=1):
        store.save(weights_of(step), step, step, dev)
    return store


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    return bool(first == second)


def test_no_flipped_bit_loads_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    write_atomic({**weights_of(3), "progress": {"step": 3}}, path)
    raw, whole, draw = path.read_bytes(), load(path), random.Random(0)
    found = {"refused": 0, "same": 0}
    for _ in range(200):
        place = draw.randrange(len(raw))
        changed = bytearray(raw)
        changed[place] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            state = load(path)
        except UserError:
            found["refused"] += 1
            continue
        assert same(state, whole)
        found["same"] += 1  # between the parts of the archive
    assert found["refused"] > 50


def test_the_average_and_copies_have_checksums_too(tmp_path: Path) -> None:
    store_of(tmp_path, 2.0, 1.0)
    path = average_run(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[raw.find(torch.full((1,), 1.5).numpy().tobytes()) + 3] ^= 4
    copy = tmp_path / "copy.pt"
    copy.write_bytes(raw)
    with pytest.raises(UserError, match=r"copy.pt is damaged: .*checksum differs"):
        load_weights(copy)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"hello", torch.zeros(3), {"model": {}}, {"model": {"a": 1}}]
)
def test_what_is_no_checkpoint_is_one_message(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"x.pt"):
        load_weights(path)


def drop(*names: str) -> Callable[[State], None]:
    return lambda state: [state.pop(name) for name in names].clear()


def shorten_moment(state: State) -> None:
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(7)


def drop_moment(state: State) -> None:
    del state["optimizer"]["state"][0]["exp_avg_sq"]


def drop_tensor(state: State) -> None:
    state["model"].pop("layers.0.weight")


def halve(state: State) -> None:
    state["model"] = {name: tensor.half() for name, tensor in state["model"].items()}


def forget_step(state: State) -> None:
    state["progress"]["step"] = "three"


@pytest.mark.parametrize(
    "damage",
    [
        drop("model"),
        drop("optimizer"),
        drop("schedule"),
        drop("totals"),
        drop("progress"),
        drop("optimizer", "schedule", "totals", "progress"),
        shorten_moment,
        drop_moment,
        drop_tensor,
        halve,
        forget_step,
    ],
)
def test_a_state_that_does_not_fit_is_set_aside_for_the_one_before(
    tmp_path: Path, damage: Callable[[State], None], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    for batch in (1, 2):
        trainer.train_step([toy.make_batch(batch, 2)])
        trainer.save(dev=None)
    path = tmp_path / "checkpoints" / "step-00000002.pt"
    state = load(path)
    damage(state)
    torch.save(state, path)
    again = toy.make_trainer(tmp_path, 1)
    with caplog.at_level(logging.WARNING):
        again.restore()
    assert again.step == 1
    assert "step-00000002.pt is damaged or of another run" in caplog.text
    assert path.with_name("step-00000002.pt.damaged").is_file()
    caplog.clear()
    toy.make_trainer(tmp_path, 1).restore()
    assert "damaged" not in caplog.text, "it is said once"


def test_numbers_that_are_none_are_never_best_and_never_push_others_out(tmp_path: Path) -> None:
    devs = [7.8, 7.1, NAN, NAN, 5.1, 4.2, 7.3, 3.4, NAN, 8.3, 5.0, 3.3, NAN, 7.0, NAN]
    store = store_of(tmp_path, *devs, keep_best=3)
    assert {3.3, 3.4, 4.2} <= {e.dev for e in store.entries}
    assert resolve(tmp_path, "best").name == "step-00000012.pt"
    assert resolve(tmp_path, "last").name == "step-00000015.pt"
    assert store.entries[-1].step == 15
    assert [e.step for e in read_index(store.folder)] == [e.step for e in store.entries]
    assert "averaged" in load(average_run(tmp_path, Averaged(best=3)))
    assert ReloadBest(last=2).choose([Entry(1, 1, 2.0), Entry(2, 2, NAN)], 2) == Entry(1, 1, 2.0)


def test_without_any_number_there_is_no_best(tmp_path: Path) -> None:
    store_of(tmp_path, NAN, NAN)
    with pytest.raises(UserError, match=r"all are NaN"):
        resolve(tmp_path, "best")
    with pytest.raises(UserError, match=r"all are NaN"):
        average_run(tmp_path)


@pytest.mark.parametrize("index", [None, "", "[]", "[{", '[{"step": 9, "epoch": 9, "dev": 1.0}]'])
def test_a_lost_index_is_made_anew_from_the_files(
    tmp_path: Path, index: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    before = store_of(tmp_path, 2.0, NAN, None).entries
    path = tmp_path / "checkpoints" / "index.json"
    path.unlink()
    if index is not None:
        path.write_text(index)
    store = CheckpointStore(tmp_path / "checkpoints")
    assert "rebuilt from the 3 checkpoints next to it" in caplog.text
    assert [(e.step, e.epoch, str(e.dev)) for e in store.entries] == [
        (e.step, e.epoch, str(e.dev)) for e in before
    ]
    store.adopt()
    assert len(json.loads(path.read_text())) == 3


def test_files_that_are_gone_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = store_of(tmp_path, 2.0, 1.0).folder
    (folder / "step-00000001.pt").unlink()
    assert [e.step for e in read_index(folder)] == [2]
    assert "lists checkpoints that are gone: step-00000001.pt" in caplog.text
    (folder / "step-00000002.pt").unlink()
    with pytest.raises(UserError, match=r"none of which is there.*to start over"):
        read_index(folder)


def test_what_a_killed_process_did_not_list_is_adopted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(tmp_path, 2.0, 1.0)
    old = (store.folder / "index.json").read_text()
    store.save(weights_of(3), 3, 3, 0.5)
    (store.folder / "index.json").write_text(old)
    (store.folder / "step-00000004.pt").write_bytes(b"half")
    again = CheckpointStore(store.folder)
    again.adopt()
    assert "found step-00000003.pt, which the index did not list" in caplog.text
    assert "step-00000004.pt is damaged" in caplog.text
    state = again.load_newest()
    assert state is not None
    assert state["saved"] == {"step": 3, "epoch": 3, "dev": 0.5}


def test_a_file_under_another_name_is_not_believed(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2.0, 1.0)
    first, second = (store.folder / f"step-0000000{n}.pt" for n in (1, 2))
    second.write_bytes(first.read_bytes())
    state = store.load_newest()
    assert state is not None
    assert state["saved"]["step"] == 1


def test_a_diverged_training_goes_back_to_before_that(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2.0, None, 1.5, None, None, None, keep_best=5)
    store.keep_last = 10
    left = store.discard(from_step=6, unfinished_from=4)
    assert left is not None
    assert left.step == 3
    assert not list(store.folder.glob("step-0000000[4-6].pt"))
    assert (store.folder / "diverged.pt").is_file()


def test_a_stopped_divergence_is_followed_by_a_training_that_goes_on(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1, save_steps=1)
    trainer.update = replace(trainer.update, max_nonfinite=3)
    trainer.train_step([toy.make_batch(1, 2)])
    trainer.save(dev=1.0)
    trainer.train_step([toy.make_batch(2, 2)])
    trainer._save_if_due()
    for parameter in trainer.model.parameters():
        parameter.data.fill_(1e30)
    for _ in range(2):
        trainer.train_step([toy.make_batch(1, 2)])
        trainer._save_if_due()
    with pytest.raises(UserError, match=r"no finite loss.*before that: epoch 1, step 1"):
        trainer.train_step([toy.make_batch(1, 2)])
    assert [e.step for e in read_index(trainer.store.folder)] == [1]
    again = toy.make_trainer(tmp_path, 1)
    again.restore()
    assert again.step == 1


def test_models_of_other_tensors_are_not_averaged(tmp_path: Path) -> None:
    store = store_of(tmp_path, 1.0)
    store.save({"model": {"weight": torch.zeros(3)}}, 2, 2, 2.0)
    with pytest.raises(UserError, match="other tensors"):
        average_run(tmp_path)


def test_the_best_by_each_score_and_the_last_ones_of_the_last_epochs_are_averaged(
    tmp_path: Path,
) -> None:
    devs = [1.0, 9.0, 5.0, 6.0, 7.0, 8.0]
    store_of(tmp_path, *devs, keep_best=6)
    errors = [0.0, 0.6, 0.5, 0.4, 0.3, 0.2]
    line = '{{"epoch": {0}, "seconds": 1, "step": {0}, "lr": 1, "train": {{}}, "dev": {1}}}\n'
    scores = [f'{{"ctc.errors": {error}}}' for error in errors]
    log = [line.format(epoch, score) for epoch, score in enumerate(scores, 1)]
    (tmp_path / "log.jsonl").write_text("".join(log))

    def averaged(which: Averaged) -> list[int]:
        names = load(average_run(tmp_path, which))["averaged"]
        return [int(name[5:13]) for name in names]

    assert averaged(Averaged(best=1, last=2)) == [1, 5, 6]
    assert averaged(Averaged(best=1, last=2, within=0.5)) == [4, 5, 6]
    assert averaged(Averaged(best=2, within=0.5, by=["ctc.errors"])) == [5, 6]
    assert averaged(Averaged(best=2, last=1)) == [1, 3, 6]
    assert averaged(Averaged(last=1)) == [6]
    with pytest.raises(UserError, match=r"unknown dev score 'wer'; known: \['ctc.errors'\]"):
        averaged(Averaged(best=2, by=["wer"]))
    for wrong in ({"last": 1, "by": ["ctc.errors"]}, {"within": 0.0}, {"best": 0}):
        with pytest.raises(UserError):
            Averaged(**wrong)
