"""The training loop: restore, then for each epoch train, evaluate, adapt the rate, save.

All randomness of a step comes from (seed, step, micro-batch), so a run that was killed and started
again computes what it would have computed anyway.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Registry
from asrkit.data.batch import Batch
from asrkit.models.interfaces import TrainableModel
from asrkit.nn.constraints import constrain
from asrkit.run_folder import RunFolder
from asrkit.training.applied import AppliedTotals, Sampling
from asrkit.training.checkpoints import load, read_index
from asrkit.training.distributed import init_distributed
from asrkit.training.dropout_schedules import DropoutSchedule
from asrkit.training.evaluation import evaluate, require_some
from asrkit.training.exchange import start_alike
from asrkit.training.importing import train_mode
from asrkit.training.job import Job
from asrkit.training.keeping import Checkpoints
from asrkit.training.metrics import MetricLog, StepTimes, Totals
from asrkit.training.moving_average import Averaging, MovingAverage
from asrkit.training.optimizers import OptimizerFactory, load_moments
from asrkit.training.planning import planned_updates
from asrkit.training.progress import EpochProgress, epoch_line
from asrkit.training.refusals import refuse_settings
from asrkit.training.restoring import diverged, ended_before, newest_state
from asrkit.training.schedules import Schedule
from asrkit.training.signals import InterruptedTrainingError, StopRequests
from asrkit.training.sources import go_on, mark, reading, require_batches
from asrkit.training.updates import Done, Gradients, Update, all_finite, warn_of_nonfinite

log = logging.getLogger(__name__)


class Trainer:
    """Trains a model.

    Args:
        model: What is trained.
        job: On what, where, from which seed.
        epochs: (Sub-)epochs to train.
        optimizer: Makes the optimiser.
        schedule: Learning rates.
        freeze: Parameters that are not trained: regular expressions, searched in their names.
        early_stopping: Stop after this many epochs without a better dev objective, if set.
        update: How an update is made of batches.
        checkpoints: What is kept, and whether training goes back to it.
        log_steps: Updates from one TensorBoard entry to the next.
        judged_by: The dev score that schedule, best checkpoints and early stopping look at, lower
            is better, such as `attention.errors`; the weighted sum of all losses where null.
        moving_average: Of the weights, if set: it is judged, and decoded.
        dropout_schedules: How dropout changes, by name: the last that selects a layer holds.

    Raises:
        ValueError: If the settings do not fit together, or lack a dev set.
    """

    def __init__(
        self,
        model: TrainableModel,
        job: Job,
        epochs: int,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        freeze: Sequence[str] = (),
        early_stopping: int | None = None,
        update: Update = Update(),  # noqa: B008 - frozen
        checkpoints: Checkpoints = Checkpoints(),  # noqa: B008 - frozen
        log_steps: int = 20,
        judged_by: str | None = None,
        moving_average: MovingAverage | None = None,
        dropout_schedules: Ordered[DropoutSchedule] = Ordered(),  # noqa: B008 - never changed
    ) -> None:
        self.world = init_distributed()
        self.model = model.to(self.world.device)
        self.train, self.dev = job.train, job.dev
        self.run_folder, self.describe = job.run, job.describe
        self.last_update = job.last_update
        self.has_dev = bool(self.world.sum(torch.tensor(float(self.dev.num_batches(epoch=1)))) > 0)
        settings = (epochs, optimizer, schedule, freeze, early_stopping, update, checkpoints)
        others = (log_steps, judged_by, moving_average, dropout_schedules)
        refuse_settings(self.model, self.has_dev, *settings, *others)
        self.epochs, self.early_stopping, self.log_steps = epochs, early_stopping, log_steps
        self.update, self.checkpoints, self.judged_by = update, checkpoints, judged_by
        self.make_optimizer, self.optimizer = optimizer, optimizer(self.model)
        own = partial(planned_updates, self.train, self.world, update.accumulation, epochs)
        known = job.updates or own
        self.schedule = schedule.over(known()) if schedule.needs_updates else schedule
        self.dropouts, self.all_updates = [*dropout_schedules.values()], 0
        if self.dropouts:
            self.all_updates = known()
        self.store = checkpoints.store(RunFolder(job.run).checkpoints)
        start_alike(self.model, self.world)
        self.average = Averaging(moving_average, self.model)
        self.gradients = Gradients(self.world, job.seed, update, optimizer.is_decoupled())
        self.sampling = Sampling(self.model, self.gradients.applied)
        self.epoch, self.batch, self.step, self.nonfinite = 1, 0, 0, 0
        self.best, self.best_epoch, self.seconds = math.inf, 0, 0.0
        self.totals, self.applied = Totals(), AppliedTotals()
        self.log: MetricLog | None = None
        self.stop = StopRequests(self.world.size)

    def run(self, until: int | None = None) -> None:
        """Trains to the last epoch, from the newest checkpoint on.

        Args:
            until: An earlier epoch, after which it ends for now, if set.

        Raises:
            UserError: If the run was interrupted, diverged, or can't be saved, or its epochs end
                before its last update.
        """
        self.restore()
        if self._leads:  # what was shown of the epoch at this step stays, if the epoch is finished
            hidden_from = self.step + (self.batch == 0)
            self.log = MetricLog(self.run_folder, self.epoch - 1, hidden_from)
        with self.stop:
            last = self.epochs if until is None else min(until, self.epochs)
            while self.epoch <= last and not self._stopped_early() and self._left != 0:
                self.reload()
                if self.train_epoch():
                    self.finish_epoch()
                else:
                    self._end_within_epoch()
        if self.log is not None:
            self.log.board.close()
        if self._left and self.epoch > self.epochs:
            raise ended_before(self.last_update, self.step, self.epochs)

    def reload(self) -> None:
        """Goes back to a better one of the last epochs, if an epoch begins and there is one."""
        rule = self.checkpoints.reload_best
        if rule is None or self.batch:
            return
        entry = rule.choose(read_index(self.store.folder), self.epoch - 1)
        if entry is None:
            return
        self.model.load_state_dict(load(self.store.folder / entry.name)["model"])
        self.average.restart()
        self.optimizer = self.make_optimizer(self.model)
        if self._leads:
            log.info("epoch %d continues from epoch %d, which was better", self.epoch, entry.epoch)

    def train_epoch(self) -> bool:
        """Makes updates of an epoch, from batch `self.batch` on; returns whether it has ended."""
        train_mode(self.model)
        per_step = self.update.batches(self.epoch)
        left = self.world.most(self.train.num_batches(self.epoch) - self.batch)
        done, updates = -(-self.batch // per_step), -(-left // per_step)
        title = f"epoch {self.epoch}/{self.epochs}"
        progress = EpochProgress(title, done + updates, done, shown=self._leads)
        self._saved_at = started = time.monotonic()
        loading, used = 0.0, 0
        with reading(self.train.batches(self.epoch, start=self.batch)) as batches, progress:
            within = updates if self._left is None else min(updates, self._left)
            for _ in range(within):  # the last one may be of fewer batches, or of none here
                begin = time.monotonic()
                micro_batches = self.stop.take(batches, per_step)
                if micro_batches is None:
                    raise self._stopped_while_waiting()
                loaded = time.monotonic()
                report, norm = self.train_step(micro_batches)
                used += len(micro_batches)
                now = time.monotonic()
                loading += loaded - begin
                self.seconds += now - begin
                self._log_step(micro_batches, norm, StepTimes(now - begin, loaded - begin))
                progress.advance(self._note())
                self._save_if_due()
        if left > 0:
            require_batches(self.world.most(used), self.epoch)
        self.load_share = loading / max(time.monotonic() - started, 1e-9)
        return within == updates

    def train_step(self, batches: Sequence[Batch]) -> tuple[Totals, float]:
        """Makes one update from micro-batches; returns their sums and the gradient's norm."""
        rate = self.schedule.lr(self.step + 1, self.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        self.sampling.begin(self.step)
        for each in self.dropouts:
            each.apply(self.model, self.step / self.all_updates)
        done, norm = self.gradients.make(self.model, self.optimizer, batches, self.step)
        sums = Totals()
        sums.add_all(report for _, report in done)
        if done:
            sums.require(self.judged_by, self.checkpoints.keep_best_by)  # now, not after an epoch
        finite, loss = all_finite(norm, sums.objective(), self.world)
        if finite:
            self.optimizer.step()
            constrain(self.model, self.step + 1)
            self.gradients.scaler.fits()
            self.nonfinite = 0
            self.totals.add_all(report for _, report in done)
        elif not loss or not self.gradients.scaler.overflows(self.step + 1):
            self._skip(done, norm)
        self.optimizer.zero_grad(set_to_none=True)
        self.applied.add_batches(batches)
        self.step, self.batch = self.step + 1, self.batch + len(batches)
        if self.update.exchange.joins(self.step, self.world):
            self.update.exchange.join(self.model, self.optimizer, self.world)
            if finite:
                self.average.update(self.model)
        return sums, norm

    def evaluate(self) -> Totals:
        """Returns the sums over the dev set, or over its first batches if a stop is asked for."""
        with reading(self.dev.batches(epoch=1)) as batches:
            autocast = self.gradients.autocast
            used = self.stop.until_asked(batches)
            judged = self.average.model(self.model)
            return evaluate(judged, used, self.step, self.world, autocast)

    def finish_epoch(self) -> None:
        """Evaluates, adapts the learning rate, saves, and then shows what there is to show.

        Its updates are saved before, as evaluation may fail or be asked to stop. Without a dev set
        all epochs have an objective of 0, and the newest counts as the best.
        """
        self.update.exchange.join(self.model, self.optimizer, self.world)
        if self.has_dev:
            self.save(dev=None)
        self.applied.collect(self.model, self.gradients.applied)
        dev, train = self.evaluate(), self.totals.reduced(self.world)
        if self.has_dev:
            self._stop_if_asked()
            require_some(dev)
        objective = dev.objective()
        score = dev.judged(self.judged_by) if self.has_dev else objective
        self.schedule.observe(self.epoch, score)
        if score < self.best:
            self.best, self.best_epoch = score, self.epoch
        entry = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "lr": self.schedule.lr(self.step, self.epoch),
            "objective": objective,
            "train": train.values(),
            "dev": dev.values(),
            "load_share": round(self.load_share, 4),
            "applied": self.applied.reduced(self.world).values(),
        }
        if self.log is not None:
            self.log.epoch(entry)
        self.epoch, self.batch = self.epoch + 1, 0
        self.totals, self.applied = Totals(), AppliedTotals()
        self.save(score)
        if self.log is not None:
            print(epoch_line(entry, self.epochs, self.best_epoch == entry["epoch"]), flush=True)
            self.log.draw(self.describe, self.average.model(self.model), self.epoch - 1)
        self._stop_if_asked()

    def save(self, dev: float | None) -> None:
        """Writes a checkpoint of the whole state."""
        if self._leads:
            self.applied.collect(self.model, self.gradients.applied)
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "totals": self.totals.state_dict(),
                "applied": self.applied.state_dict(),
                "progress": {name: getattr(self, name) for name in _PROGRESS},
                "place": mark(self.train, self.epoch, self.batch),
                "loss_scale": self.gradients.scaler.state_dict(),
                **self.average.state_dict(),
            }
            epoch = self.epoch - (self.batch == 0)
            self.store.save(state, self.step, epoch, dev)
        self._saved_at = time.monotonic()
        self.world.barrier()

    def restore(self) -> None:
        """Goes back to the newest checkpoint, if there is one.

        Raises:
            UserError: If it does not fit the model.
        """
        parts = self.model, self.optimizer, self.schedule
        state = newest_state(self.store, self.world, *parts, _PROGRESS)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        load_moments(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.totals.load_state_dict(state["totals"])
        self.gradients.scaler.load_state_dict(state.get("loss_scale", {}))
        self.average.load_state_dict(state)
        self.applied.load_state_dict(state.get("applied", {}))  # of older versions: nothing
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])
        changed = go_on(self.train, self.epoch, self.batch, state.get("place", {}))
        if self._leads:
            log.info("continuing from epoch %d, step %d", self.epoch, self.step)
            if changed:
                log.warning("%s", changed)

    def take_over(self, state: dict[str, Any], moments: dict[int, Any], same_model: bool) -> None:
        """Continues where another trainer ended: epochs, updates and schedule, but not best epochs.

        Args:
            state: The other trainer's last checkpoint; the model has its weights already.
            moments: Of weights that are as they were, by their numbers in this one's optimiser.
            same_model: Whether models and optimisers are alike.
        """
        load_moments(self.optimizer, {**self.optimizer.state_dict(), "state": moments})
        self.average.load_state_dict(state if same_model else {})
        self.gradients.scaler.load_state_dict(state.get("loss_scale", {}))
        self.schedule.load_state_dict(state["schedule"])
        self.totals.load_state_dict(state["totals"])
        self.applied.load_state_dict(state.get("applied", {}))
        for name in ("epoch", "batch", "step", "nonfinite", "seconds"):
            setattr(self, name, state["progress"][name])
        self.best_epoch = self.epoch - 1
        changed = go_on(self.train, self.epoch, self.batch, state.get("place", {}))
        if self._leads and changed:
            log.info("%s", changed)

    @property
    def _left(self) -> int | None:
        """Updates until the last one, if it is set."""
        return None if self.last_update is None else max(self.last_update - self.step, 0)

    @property
    def _leads(self) -> bool:
        return self.world.rank == 0

    def _skip(self, done: Done, norm: float) -> None:
        """Counts an update without a finite loss and gradient.

        Raises:
            UserError: If there are too many in a row.
        """
        warn_of_nonfinite(done, self.step + 1, norm)
        self.nonfinite += 1
        if self.nonfinite >= self.update.max_nonfinite:
            raise diverged(self.store, self.world, self.step + 1, self.nonfinite)

    def _end_within_epoch(self) -> None:
        """Saves what another trainer takes over."""
        self.update.exchange.join(self.model, self.optimizer, self.world)
        self.save(dev=None)
        self._stop_if_asked()

    def _save_if_due(self) -> None:
        if not self.update.exchange.joins(self.step, self.world):
            return
        due = self.checkpoints.is_due(self.step, time.monotonic() - self._saved_at)
        # While no loss is finite, weights don't change, and may be unfit to continue from.
        due = due and self.nonfinite == 0
        if asked := self.world.any(self.stop.asked):
            self.stop.begin()
        if self.world.any(due) or asked:  # all processes save, or none
            self.save(dev=None)
        if asked:
            raise self.stop.saved(self.step, self.store.folder)

    def _stopped_while_waiting(self) -> InterruptedTrainingError:
        if self.batch:  # the end of an epoch is saved already
            self.save(dev=None)
        return self.stop.saved(self.step, self.store.folder)

    def _stop_if_asked(self) -> None:  # the state is saved
        if self.world.any(self.stop.asked):
            raise self.stop.saved(self.step, self.store.folder)

    def _stopped_early(self) -> bool:
        if self.early_stopping is None or self.epoch - 1 - self.best_epoch < self.early_stopping:
            return False
        log.info("no better dev objective for %d epochs: stopped", self.early_stopping)
        return True

    def _note(self) -> str:
        return ", ".join(f"{name} {v:.3f}" for name, v in self.totals.values().items())

    def _log_step(self, batches: Sequence[Batch], norm: float, times: StepTimes) -> None:
        if self.log is not None and self.step % self.log_steps == 0:
            samples = sum(int(batch.signal_lengths.sum()) for batch in batches) * self.world.size
            self.log.step(self.step, self.optimizer.param_groups[0]["lr"], norm, samples, times)


_PROGRESS = ("epoch", "batch", "step", "nonfinite", "best", "best_epoch", "seconds")
trainers: Registry[Trainer] = Registry(
    "training", Trainer, late=("model", "job"), default="standard"
)
trainers.register("standard")(Trainer)
