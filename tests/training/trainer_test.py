from __future__ import annotations

import errno
import importlib.util
import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asrkit.config.ordered import Ordered
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.interfaces import LossReport
from asrkit.training import epoch_schedules, schedules
from asrkit.training.averaging import Averaged, average_run
from asrkit.training.checkpoints import (
    CheckpointStore,
    average,
    load,
    load_weights,
    resolve,
)
from asrkit.training.distributed import World
from asrkit.training.evaluation import evaluate
from asrkit.training.keeping import Checkpoints
from asrkit.training.metrics import Totals
from asrkit.training.noise import WeightChange, WeightNoise
from asrkit.training.optimizers import AdamW
from asrkit.training.parameter_groups import ParameterGroup
from asrkit.training.refusals import refuse_settings
from asrkit.training.updates import Update


def load_toy() -> Any:
    path = Path(__file__).parent / "programs" / "toy.py"
    spec = importlib.util.spec_from_file_location("toy_program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy = load_toy()


def test_training_lowers_the_dev_objective(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1, per_epoch=60)
    before = trainer.evaluate().objective()
    trainer.run()
    assert trainer.evaluate().objective() < 0.5 * before


class Exploding(toy.ToyModel):  # type: ignore[name-defined, misc]
    bad: str = ""

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        report: LossReport = super().forward(batch, step)
        part = report["toy.loss"]
        if self.bad in batch.ids and part.per_utterance is not None:
            losses = part.per_utterance.clone()
            losses[batch.ids.index(self.bad)] = math.nan
            report["toy.loss"] = type(part)(part.total * math.nan, part.count, 1.0, losses)
        return report


def test_nonfinite_losses_name_the_utterance_and_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    model = Exploding()
    model.bad = "u5-1"
    model.layers = trainer.model.layers
    trainer.model = model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        trainer.train_step([toy.make_batch(5, 3)])
    assert "utterances: u5-1" in caplog.text
    assert trainer.step == 1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    trainer.update = replace(trainer.update, max_nonfinite=3)
    trainer.train_step([toy.make_batch(5, 3)])
    with pytest.raises(UserError, match="3 updates in a row gave no finite loss"):
        trainer.train_step([toy.make_batch(5, 3)])


class Hungry(toy.ToyModel):  # type: ignore[name-defined, misc]
    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        if len(batch) > 1:
            raise torch.cuda.OutOfMemoryError("toy")
        report: LossReport = super().forward(batch, step)
        return report


def test_out_of_memory_goes_on_in_halves_with_the_same_gradient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    norms = []
    for kind in (toy.ToyModel, Hungry):
        trainer = toy.make_trainer(tmp_path / kind.__name__, 1)
        model = kind()
        model.layers = trainer.model.layers
        model.layers[1].p = 0.0  # dropout would differ between batch shapes
        trainer.model = model
        with caplog.at_level(logging.WARNING):
            norms.append(trainer.train_step([toy.make_batch(7, 4)])[1])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert "out of memory" in caplog.text
    assert "u7-3" in caplog.text


class HungryBackward(toy.ToyModel):  # type: ignore[name-defined, misc]
    """Memory runs out when some parameters have their gradient already."""

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        late = self.layers[0].weight.sum() * 0.0  # first here, so last in the backward pass
        if len(batch) > 2:
            late = Late.apply(late)  # type: ignore[no-untyped-call]
        report: LossReport = super().forward(batch, step)
        part = report["toy.loss"]
        total = part.total + late
        report["toy.loss"] = type(part)(total, part.count, part.weight, part.per_utterance)
        return report


class Late(torch.autograd.Function):
    """Runs out of memory in the backward pass."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise torch.cuda.OutOfMemoryError("toy")


def test_gradients_of_a_backward_pass_without_memory_do_not_count_twice(tmp_path: Path) -> None:
    norms = []
    for kind in (toy.ToyModel, HungryBackward):
        trainer = toy.make_trainer(tmp_path / kind.__name__, 1)
        model = kind()
        model.layers = trainer.model.layers
        model.layers[1].p = 0.0
        trainer.model = model
        norms.append(trainer.train_step([toy.make_batch(3, 2), toy.make_batch(7, 4)])[1])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_accumulated_batches_equal_one_big_batch(tmp_path: Path) -> None:
    halves = toy.make_batch(3, 4).halves()
    norms = []
    for name, batches in (("whole", [toy.make_batch(3, 4)]), ("halves", list(halves))):
        trainer = toy.make_trainer(tmp_path / name, 1)
        trainer.model.layers[1].p = 0.0
        norms.append(trainer.train_step(batches)[1])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    toy.make_trainer(tmp_path, 1).save(dev=None)
    trainer = toy.make_trainer(tmp_path, 1)
    trainer.model.layers[3] = nn.Linear(16, 2)
    with pytest.raises(UserError, match=r"layers.3.weight.*\(1, 16\).*\(2, 16\)"):
        trainer.restore()


def test_processes_without_batches_add_nothing() -> None:
    class Two(World):
        def gather(self, value: Any) -> list[Any]:
            return [value, {"ctc.loss": [6.0, 2.0, 0.5]}]

    totals = Totals().reduced(Two(rank=0, size=2, device=torch.device("cpu")))
    assert totals.values() == {"ctc.loss": 3.0}
    assert totals.objective() == 1.5


def test_early_stopping(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    trainer.early_stopping, trainer.best, trainer.epochs = 2, -1.0, 50
    trainer.run()
    assert trainer.epoch - 1 == 2


def save(store: CheckpointStore, step: int, dev: float | None) -> None:
    store.save({"model": {"w": torch.full((2,), float(step))}}, step, step, dev)


def test_best_and_last_checkpoints_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_best=2, keep_last=1)
    for step, dev in enumerate([5.0, 1.0, 4.0, None, 3.0, None], start=1):
        save(store, step, dev)
    kept = sorted(path.name for path in tmp_path.glob("*.pt"))
    assert kept == ["step-00000002.pt", "step-00000005.pt", "step-00000006.pt"]


def test_checkpoints_of_some_epochs_are_always_kept(tmp_path: Path) -> None:
    store = Checkpoints(keep_best=1, keep_last=1, keep_epochs=[1, 3]).store(tmp_path)
    for step, dev in enumerate([5.0, 1.0, 4.0, 3.0, 2.0, 6.0], start=1):
        save(store, step, dev)
    kept = sorted(int(path.stem.removeprefix("step-")) for path in tmp_path.glob("*.pt"))
    assert kept == [1, 2, 3, 6]
    with pytest.raises(ValueError, match="keep_epochs"):
        Checkpoints(keep_epochs=[0, 3])


def test_a_truncated_checkpoint_is_reported_and_the_one_before_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = CheckpointStore(tmp_path, keep_last=2)
    save(store, 1, 1.0)
    save(store, 2, 2.0)
    newest = tmp_path / "step-00000002.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        state = CheckpointStore(tmp_path).load_newest()
    assert state is not None
    assert float(state["model"]["w"][0]) == 1.0
    assert "step-00000002.pt is damaged" in caplog.text


def test_a_run_without_a_readable_checkpoint_does_not_begin_anew(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=2)
    for step in (1, 2):
        save(store, step, 1.0)
        (tmp_path / f"step-0000000{step}.pt").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"step-00000002.pt is damaged.*no checkpoint before it"):
        CheckpointStore(tmp_path).load_newest()
    (tmp_path / "index.json").write_text('[{"step": 1')
    with pytest.raises(UserError, match=r"index.json is damaged"):
        CheckpointStore(tmp_path)


def test_a_run_goes_on_with_the_settings_of_its_spec(tmp_path: Path) -> None:
    toy.make_trainer(tmp_path, 1).save(dev=None)
    trainer = toy.make_trainer(tmp_path, 1)
    trainer.optimizer = AdamW(weight_decay=0.5, betas=(0.5, 0.6))(trainer.model)
    trainer.restore()
    group = trainer.optimizer.param_groups[0]
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.5, 0.6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Update(max_grad_norm=math.nan), r"max_grad_norm \(nan\) must be above 0"),
        (lambda: Update([(2, 1)]), "accumulate"),
        (lambda: Checkpoints(keep_best=-1), r"keep_best \(-1\) must be at least 0"),
    ],
)
def test_parts_of_the_settings_refuse_what_cannot_be(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


CHANGES: Ordered[WeightChange] = Ordered(a=WeightNoise("weight", 0.1), b=WeightNoise("none", 0.1))
NOISY = Update(weight_changes=CHANGES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, r"epochs \(0\) must be at least 1"),
        ({"freeze": ["none"], "log_steps": 0}, "log_steps .* at least 1; freeze: 'none' selects"),
        ({"optimizer": AdamW(weight_decay=-1.0)}, r"weight_decay \(-1.0\) must not be negative"),
        (
            {"optimizer": AdamW(groups=Ordered(a=ParameterGroup("none")))},
            "'none'.* selects no parameter",
        ),
        ({"update": NOISY}, "weight_changes: 'none' selects no trained parameter"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with torch.device("meta"):
        model = toy.ToyModel()
    given: dict[str, Any] = {"optimizer": AdamW(), "schedule": schedules.Constant(1e-3)}
    given |= {"has_dev": True, "epochs": 1}
    refuse_settings(model, **given)
    with pytest.raises(ValueError, match=message):
        refuse_settings(model, **{**given, **settings})


def test_a_full_disk_is_named_and_older_checkpoints_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path)
    save(store, 1, 1.0)

    def no_space(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", no_space)
    with pytest.raises(UserError, match="the disk is full; the checkpoints before it are intact"):
        save(store, 2, 2.0)
    assert not list(tmp_path.glob("*.partial*"))
    assert load(tmp_path / "step-00000001.pt")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": Path("x")}, path)
    with pytest.raises(UserError, match="damaged or no checkpoint"):
        load_weights(path)


def test_average_is_the_mean_of_the_best(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints", keep_best=3)
    for step, dev in enumerate([5.0, 1.0, 2.0, 9.0], start=1):
        save(store, step, dev)
    average_run(tmp_path, Averaged(best=2))
    weights = load_weights(resolve(tmp_path, "average"))
    assert weights["w"].tolist() == [2.5, 2.5]
    average([resolve(tmp_path, "best")], tmp_path / "one.pt")
    assert load_weights(tmp_path / "one.pt")["w"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("which", ["average", "best", "last", "nothing.pt"])
def test_missing_checkpoints_are_named(tmp_path: Path, which: str) -> None:
    with pytest.raises(UserError, match="missing|no checkpoint"):
        resolve(tmp_path, which)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.Constant(0.1), {(1, 1): 0.1, (99, 9): 0.1}),
        (schedules.Noam(2.0, 4), {(1, 1): 0.5, (4, 1): 2.0, (16, 1): 1.0}),
        (schedules.WarmupInverseSqrt(1.0, 2, 3), {(1, 1): 0.5, (2, 1): 1.0, (11, 1): 0.5}),
        (
            schedules.PiecewiseLinear([(0, 0.0), (10, 1.0), (30, 0.0)]),
            {(5, 1): 0.5, (10, 1): 1.0, (20, 1): 0.5, (40, 1): 0.0},
        ),
        (
            schedules.PiecewiseLinear([(1, 4.0), (3, 2.0)], by="epoch"),
            {(9, 1): 4.0, (9, 2): 3.0, (9, 5): 2.0},
        ),
        (
            schedules.OneCycle(1.0, 100),
            {(45, 1): 1.0, (90, 1): 0.1, (95, 1): 0.0505, (100, 1): 0.001},
        ),
        (schedules.Cosine(1.0, 2, 10, 0.2), {(1, 1): 0.5, (2, 1): 1.0, (6, 1): 0.6, (10, 1): 0.2}),
        (epoch_schedules.EpochList([3.0, 2.0]), {(1, 1): 3.0, (1, 2): 2.0, (1, 7): 2.0}),
    ],
)
def test_schedules_equal_hand_computed_values(
    schedule: schedules.Schedule, expected: dict[tuple[int, int], float]
) -> None:
    for (step, epoch), rate in expected.items():
        assert schedule.lr(step, epoch) == pytest.approx(rate)


def test_ramps_are_written_out_by_epoch() -> None:
    ramp = epoch_schedules.Ramp(1.0, 2.0, epochs=3, times=2)
    expected = [1.0, 1.5, 2.0, 1.0, 1.5, 2.0, 0.5, 0.5]
    given = epoch_schedules.EpochList([ramp, 0.5])
    assert [given.lr(0, epoch) for epoch in range(1, 9)] == expected
    newbob = epoch_schedules.Newbob(start=2.0, first=[ramp, 0.5], min_epochs=3)
    rates = [newbob.lr(0, 1)]
    for epoch in range(1, 8):
        newbob.observe(epoch, 1.0)
        rates.append(newbob.lr(0, epoch + 1))
    assert rates == expected
    with pytest.raises(ValueError, match="2 epochs or more, not 1"):
        epoch_schedules.Ramp(1.0, 2.0, epochs=1)
    with pytest.raises(ValueError, match="at least one, and none below 0"):
        epoch_schedules.EpochList([])


def test_decays_are_geometric() -> None:
    published = epoch_schedules.EpochList(
        [
            epoch_schedules.Ramp(2e-4, 5e-4, epochs=10),
            epoch_schedules.Ramp(5e-4, 5e-4, epochs=90),
            epoch_schedules.Decay(4.95e-4, factor=0.99, epochs=389),
            1e-5,
        ]
    )
    expected = [*np.linspace(2e-4, 5e-4, 10), *[5e-4] * 90]
    expected += [5e-4 * 0.99**k for k in range(1, 390)] + [5e-4 / 50] * 100
    found = [published.lr(0, epoch) for epoch in range(1, len(expected) + 1)]
    assert found == pytest.approx(expected, rel=1e-12)
    for factor, epochs in ((0.0, 2), (0.5, 0)):
        with pytest.raises(ValueError, match="a positive factor"):
            epoch_schedules.Decay(1.0, factor, epochs)


def test_newbob_lowers_the_rate_when_dev_stalls() -> None:
    newbob = epoch_schedules.Newbob(start=1.0, decay=0.5, window=1, min_epochs=2, floor=0.3)
    rates = []
    for epoch, dev in enumerate([4.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], start=1):
        newbob.observe(epoch, dev)
        rates.append(newbob.lr(0, epoch + 1))
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3]
    copy = epoch_schedules.Newbob(start=1.0)
    copy.load_state_dict(newbob.state_dict())
    assert copy.lr(0, 9) == 0.3


def test_newbob_follows_the_multi_epoch_rule_of_the_reference_system() -> None:
    """Rates computed by hand: each change counts relative to the rate of its newer epoch."""
    newbob = epoch_schedules.Newbob(
        start=1.0, first=[0.25, 0.5, 1.0], decay=0.5, threshold=-0.06, window=2, min_epochs=2
    )
    rates = [newbob.lr(0, 1)]
    for epoch, dev in enumerate([10.0, 10.0, 10.0, 9.0, 8.5, 8.3, 8.1], start=1):
        newbob.observe(epoch, dev)
        rates.append(newbob.lr(0, epoch + 1))
    # after 3: rates 0.5, 1.0 differ: keep. after 4: (0 - 0.111) / 2 = -0.0556 > -0.06: halve.
    # after 5: 1.0, 0.5 differ: keep. after 6: (-0.5 / 8.5 - 0.2 / 8.3) / 0.5 / 2 = -0.0829: keep.
    # after 7: (-0.2 / 8.3 - 0.2 / 8.1) / 0.5 / 2 = -0.0488: halve.
    assert rates == [0.25, 0.5, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_newbob_grows_and_divides_by_the_old_value_if_told_to() -> None:
    newbob = epoch_schedules.Newbob(
        1.0, window=1, min_epochs=1, threshold=-0.45, growth=2.0, growth_threshold=-0.55
    )
    newbob.observe(1, 2.0)
    newbob.observe(2, 1.0)  # -1 / 1 is below -0.55
    assert newbob.lr(0, 3) == 2.0
    by_old = epoch_schedules.Newbob(
        1.0,
        window=1,
        min_epochs=1,
        threshold=-0.45,
        growth=2.0,
        growth_threshold=-0.55,
        divide_by_old=True,
    )
    by_old.observe(1, 2.0)
    by_old.observe(2, 1.0)  # -1 / 2 is between
    assert by_old.lr(0, 3) == 1.0


class HungryInDev(toy.ToyModel):  # type: ignore[name-defined, misc]
    """Memory is short for some utterances of dev, or for all."""

    too_long: tuple[str, ...] = ()

    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        if not self.training and any(name.endswith(self.too_long) for name in batch.ids):
            raise torch.cuda.OutOfMemoryError("toy")
        report: LossReport = super().forward(batch, step)
        return report


def test_dev_utterances_for_which_memory_is_short_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    model = HungryInDev()
    trainer.model = model
    whole = trainer.evaluate().state_dict()["toy.loss"]
    model.too_long = ("1001-1",)
    with caplog.at_level(logging.WARNING):
        part = trainer.evaluate().state_dict()["toy.loss"]
    assert part[1] == whole[1] - 3
    assert "u1001-1 is left out of dev" in caplog.text
    assert "the dev loss does not include 1 utterances" in caplog.text
    model.too_long = ("",)
    with pytest.raises(UserError, match="no utterance of dev can be used"):
        trainer.finish_epoch()
    assert trainer.store.entries, "the epoch is lost"
    many = [toy.make_batch(seed, 1) for seed in range(101)]
    with pytest.raises(UserError, match="more than 100 utt.*cut the long utterances of dev"):
        evaluate(model, many, 0, trainer.world, nullcontext)


def test_too_many_utterances_for_which_memory_is_short_end_the_training(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    trainer.model = HungryAlways()
    for seed in range(50):
        trainer.train_step([toy.make_batch(seed, 2)])
    with pytest.raises(UserError, match=r"more than 100 utterances.*u50-0"):
        trainer.train_step([toy.make_batch(50, 2)])


class HungryAlways(toy.ToyModel):  # type: ignore[name-defined, misc]
    def forward(self, batch: Batch, step: int = 0) -> LossReport:
        raise torch.cuda.OutOfMemoryError("toy")


def test_an_epoch_without_a_usable_batch_is_no_epoch(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    trainer.train.batches = lambda epoch, start=0: iter(())
    with pytest.raises(UserError, match="no utterance of epoch 1 can be used"):
        trainer.train_epoch()


class Demanding(toy.ToyModel):  # type: ignore[name-defined, misc]
    """Notes when it may change its weights, and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[int] = []

    def constrain(self, updates: int) -> None:
        self.noted.append(updates)
        self.layers[3].weight.fill_(0.5)


def test_modules_may_change_their_weights_after_every_update(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    trainer.model = model = Demanding()
    trainer.optimizer = AdamW()(model)
    trainer.train_step([toy.make_batch(1, 2)])
    assert bool((model.layers[3].weight == 0.5).all())  # after the step of the optimiser
    bad = toy.make_batch(2, 2)
    bad.signal.fill_(math.nan)
    trainer.train_step([bad])  # no update
    trainer.train_step([toy.make_batch(3, 2)])
    assert model.noted == [1, 3]
