"""The training loop: restore, then for each epoch train, evaluate, adapt the rate, save.

All randomness of a step comes from (seed, step, micro-batch), so a run that was killed and started
again computes what it would have computed anyway.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Registry
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.models.interfaces import TrainableModel
from asrkit.run_folder import RunFolder
from asrkit.training.checkpoints import CheckpointStore, ReloadBest, load_weights, read_index
from asrkit.training.distributed import init_distributed
from asrkit.training.evaluation import evaluate, require_some
from asrkit.training.exchange import Exchange, GradientAverage, start_alike
from asrkit.training.importing import train_mode
from asrkit.training.metrics import Describe, MetricLog, StepTimes, Totals
from asrkit.training.noise import GradientNoise, WeightChange, changed_weights
from asrkit.training.optimizers import OptimizerFactory, load_moments
from asrkit.training.planning import planned_updates
from asrkit.training.progress import EpochProgress, epoch_line
from asrkit.training.refusals import accumulation, refuse_settings
from asrkit.training.restoring import go_back, newest_state
from asrkit.training.schedules import Schedule
from asrkit.training.signals import InterruptedTrainingError, StopRequests
from asrkit.training.sources import EpochSource, go_on, mark, reading, require_batches
from asrkit.training.updates import Done, Gradients, warn_of_nonfinite

log = logging.getLogger(__name__)


class Trainer:
    """Trains a model.

    Args:
        model: What is trained.
        train: Training batches.
        dev: Batches that choose checkpoints.
        run: Run folder.
        seed: Of all randomness.
        describe: Called with model, TensorBoard writer and epoch after each evaluation.
        epochs: (Sub-)epochs to train.
        optimizer: Makes the optimiser.
        schedule: Learning rates.
        updates: Returns the updates of the whole training, if it has other parts.
        accumulate: Batches per update and process; or pairs of a first epoch and their number from
            there on, such as [[1, 3], [20, 1]].
        freeze: Parameters that are not trained: regular expressions, searched in their names.
        weight_changes: Noise on weights, and weight dropout, by name, in order.
        gradient_noise: Added to gradients before they are clipped, if set.
        reload_best: When to go back to an earlier epoch, with a fresh optimiser, if set.
        max_grad_norm: Gradients are clipped to this global norm.
        precision: Of the forward pass; weights are always fp32.
        normalize: What the summed loss of an update is divided by.
        keep_best: How many checkpoints with the lowest dev objective are kept.
        keep_last: How many of the newest checkpoints are kept.
        save_minutes: A checkpoint is written at least so often.
        save_steps: A checkpoint is written every so many updates, if set.
        early_stopping: Stop after so many epochs without a better dev objective, if set.
        max_nonfinite: Stop after so many updates in a row that gave no finite number.
        log_steps: TensorBoard gets the numbers of every so many updates.
        exchange: How the processes that torchrun starts stay together.

    Raises:
        ValueError: If the settings do not fit together, or lack a dev set.
    """

    def __init__(
        self,
        model: TrainableModel,
        train: EpochSource,
        dev: EpochSource,
        run: Path,
        seed: int,
        describe: Describe | None,
        epochs: int,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        updates: Callable[[], int] | None = None,
        accumulate: int | list[tuple[int, int]] = 1,
        freeze: Sequence[str] = (),
        weight_changes: Ordered[WeightChange] = Ordered(),  # noqa: B008 - never changed
        gradient_noise: GradientNoise | None = None,
        reload_best: ReloadBest | None = None,
        max_grad_norm: float = 5.0,
        precision: Literal["fp32", "bf16"] = "fp32",
        normalize: Literal["labels", "utterances", "sum"] = "labels",
        keep_best: int = 5,
        keep_last: int = 2,
        save_minutes: float = 10.0,
        save_steps: int | None = None,
        early_stopping: int | None = None,
        max_nonfinite: int = 10,
        log_steps: int = 20,
        exchange: Exchange = GradientAverage(),  # noqa: B008 - has no state
    ) -> None:
        self.world = init_distributed()
        self.model = model.to(self.world.device)
        self.train, self.dev, self.run_folder, self.seed = train, dev, run, seed
        self.describe = describe
        self.has_dev = bool(self.world.sum(torch.tensor(float(dev.num_batches(epoch=1)))) > 0)
        refuse_settings(
            self.model,
            self.has_dev,
            optimizer,
            schedule,
            accumulate,
            freeze,
            weight_changes,
            reload_best,
            epochs=epochs,
            max_grad_norm=max_grad_norm,
            keep_best=keep_best,
            keep_last=keep_last,
            save_minutes=save_minutes,
            save_steps=save_steps,
            early_stopping=early_stopping,
            max_nonfinite=max_nonfinite,
            log_steps=log_steps,
        )
        self.epochs, self.accumulate = epochs, accumulation(accumulate)
        self.weight_changes, self.gradient_noise = [*weight_changes.values()], gradient_noise
        self.make_optimizer, self.reload_best = optimizer, reload_best
        self.optimizer = optimizer(self.model)
        own = partial(planned_updates, train, self.world, self.accumulate, epochs)
        self.schedule = schedule.over((updates or own)()) if schedule.needs_updates else schedule
        self.max_grad_norm = max_grad_norm
        compared = reload_best.last if reload_best is not None else 0
        self.store = CheckpointStore(RunFolder(run).checkpoints, keep_best, keep_last, compared)
        self.save_seconds, self.save_steps = 60 * save_minutes, save_steps
        self.early_stopping, self.max_nonfinite = early_stopping, max_nonfinite
        self.log_steps = log_steps
        if save_steps is not None and not exchange.joins(save_steps):
            raise ValueError(f"save_steps ({save_steps}) must be a multiple of exchange.steps")
        self.exchange = exchange
        start_alike(self.model, self.world)
        self.gradients = Gradients(self.world, exchange, seed, precision, normalize)
        self.epoch, self.batch, self.step, self.nonfinite = 1, 0, 0, 0
        self.best, self.best_epoch, self.seconds = math.inf, 0, 0.0
        self.totals = Totals()
        self.log: MetricLog | None = None
        self.stop = StopRequests(self.world.size)

    def run(self) -> None:
        """Trains to the last epoch, from the newest checkpoint on.

        Raises:
            UserError: If the run was interrupted, diverged, or can't be saved.
        """
        self.restore()
        if self._leads:  # what was shown of the epoch at this step stays, if the epoch is finished
            hidden_from = self.step + (self.batch == 0)
            self.log = MetricLog(self.run_folder, self.epoch - 1, hidden_from)
        with self.stop:
            while self.epoch <= self.epochs and not self._stopped_early():
                self.reload()
                self.train_epoch()
                self.finish_epoch()
        if self.log is not None:
            self.log.board.close()

    def reload(self) -> None:
        """Goes back to a better one of the last epochs, if an epoch begins and there is one."""
        if self.reload_best is None or self.batch:
            return
        entry = self.reload_best.choose(read_index(self.store.folder), self.epoch - 1)
        if entry is None:
            return
        self.model.load_state_dict(load_weights(self.store.folder / entry.name))
        self.optimizer = self.make_optimizer(self.model)
        if self._leads:
            log.info("epoch %d continues from epoch %d, which was better", self.epoch, entry.epoch)

    def train_epoch(self) -> None:
        """Makes the updates of one epoch, from batch `self.batch` on."""
        train_mode(self.model)
        per_step = next(n for start, n in reversed(self.accumulate) if start <= self.epoch)
        left = self.world.most(self.train.num_batches(self.epoch) - self.batch)
        done, updates = -(-self.batch // per_step), -(-left // per_step)
        title = f"epoch {self.epoch}/{self.epochs}"
        progress = EpochProgress(title, done + updates, done, shown=self._leads)
        self._saved_at = started = time.monotonic()
        loading, used = 0.0, 0
        with reading(self.train.batches(self.epoch, start=self.batch)) as batches, progress:
            for _ in range(updates):  # the last one may be of fewer batches, or of none here
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

    def train_step(self, batches: Sequence[Batch]) -> tuple[Totals, float]:
        """Makes one update from micro-batches; returns their sums and the gradient's norm."""
        rate = self.schedule.lr(self.step + 1, self.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        seed = self.gradients.step_seed
        with changed_weights(self.model, self.weight_changes, seed(self.step, 0)):
            done = self.gradients.add(self.model, self.optimizer, batches, self.step)
        if self.gradient_noise is not None:
            self.gradient_noise.add(self.model, self.step + 1, seed(self.step, 1))
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm))
        sums = Totals()
        sums.add_all(report for _, report in done)
        if self._finite(norm, sums):
            self.optimizer.step()
            self.nonfinite = 0
            self.totals.add_all(report for _, report in done)
        else:
            self._skip(done, norm)
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.batch = self.step + 1, self.batch + len(batches)
        if self.exchange.joins(self.step):
            self.exchange.join(self.model, self.optimizer, self.world)
        return sums, norm

    def evaluate(self) -> Totals:
        """Returns the sums over the dev set, or over its first batches if a stop is asked for."""
        with reading(self.dev.batches(epoch=1)) as batches:
            autocast = self.gradients.autocast
            used = self.stop.until_asked(batches)
            return evaluate(self.model, used, self.step, self.world, autocast)

    def finish_epoch(self) -> None:
        """Evaluates, adapts the learning rate, saves, and then shows what there is to show.

        Its updates are saved before, as evaluation may fail or be asked to stop. Without a dev set
        all epochs have an objective of 0, and the newest counts as the best.
        """
        self.exchange.join(self.model, self.optimizer, self.world)
        if self.has_dev:
            self.save(dev=None)
        dev, train = self.evaluate(), self.totals.reduced(self.world)
        if self.has_dev:
            self._stop_if_asked()
            require_some(dev)
        objective = dev.objective()
        self.schedule.observe(self.epoch, objective)
        if objective < self.best:
            self.best, self.best_epoch = objective, self.epoch
        entry = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "lr": self.schedule.lr(self.step, self.epoch),
            "objective": objective,
            "train": train.values(),
            "dev": dev.values(),
            "load_share": round(self.load_share, 4),
        }
        if self.log is not None:
            self.log.epoch(entry)
        self.epoch, self.batch, self.totals = self.epoch + 1, 0, Totals()
        self.save(objective)
        if self.log is not None:
            print(epoch_line(entry, self.epochs, self.best_epoch == entry["epoch"]), flush=True)
            self.log.draw(self.describe, self.model, self.epoch - 1)
        self._stop_if_asked()

    def save(self, dev: float | None) -> None:
        """Writes a checkpoint of the whole state."""
        if self._leads:
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "totals": self.totals.state_dict(),
                "progress": {name: getattr(self, name) for name in _PROGRESS},
                "place": mark(self.train, self.epoch, self.batch),
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
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])
        changed = go_on(self.train, self.epoch, self.batch, state.get("place", {}))
        if self._leads:
            log.info("continuing from epoch %d, step %d", self.epoch, self.step)
            if changed:
                log.warning("%s", changed)

    def take_over(self, state: dict[str, Any], same_model: bool) -> None:
        """Goes on where another trainer ended: epochs, updates and schedule, not best epochs.

        Args:
            state: The other trainer's last checkpoint; the model has its weights already.
            same_model: Whether models and optimisers are alike, so that its moments still hold.
        """
        if same_model:
            load_moments(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        for name in ("epoch", "step", "nonfinite", "seconds"):
            setattr(self, name, state["progress"][name])
        self.best_epoch = self.epoch - 1

    @property
    def _leads(self) -> bool:
        return self.world.rank == 0

    def _finite(self, norm: float, sums: Totals) -> bool:
        """Returns whether gradient and loss are finite in all processes."""
        finite = math.isfinite(norm) and math.isfinite(sums.objective())
        return float(self.world.sum(torch.tensor(float(finite)))) == self.world.size

    def _skip(self, done: Done, norm: float) -> None:
        """Counts an update that gave no finite number.

        Raises:
            UserError: If there are too many in a row.
        """
        warn_of_nonfinite(done, self.step + 1, norm)
        self.nonfinite += 1
        if self.nonfinite >= self.max_nonfinite:
            raise UserError(
                f"{self.nonfinite} updates in a row gave no finite loss; lower the learning rate "
                "or max_grad_norm, or look at the utterances named above; "
                + go_back(self.store, self.world, self.step + 1, self.nonfinite)
            )

    def _save_if_due(self) -> None:
        if not self.exchange.joins(self.step):
            return
        due = self.save_steps is not None and self.step % self.save_steps == 0
        due = due or time.monotonic() - self._saved_at >= self.save_seconds
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
_LATE = ("model", "train", "dev", "run", "seed", "describe", "updates")
trainers: Registry[Trainer] = Registry("training", Trainer, late=_LATE, default="standard")
trainers.register("standard")(Trainer)
