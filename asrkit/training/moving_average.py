"""A moving average of the weights, which is judged and decoded in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asrkit.bounds import refuse_not_above
from asrkit.models.interfaces import TrainableModel
from asrkit.training.checkpoint_files import AVERAGED


@dataclass(frozen=True)
class MovingAverage:
    """An exponential moving average of the weights.

    Dev losses and checkpoints are those of the average; training continues with the weights.

    Args:
        decay: Share of the old average in the new one, after every update (with
            `average_parameters`, when processes are made alike). It is less in the beginning:
            (1 + n) / (10 + n) after n updates.

    Raises:
        ValueError: If it is not between 0 and 1.

    Source: Polyak and Juditsky 1992; the beginning as in TensorFlow's ExponentialMovingAverage.
    """

    decay: float

    def __post_init__(self) -> None:
        refuse_not_above(0, decay=self.decay)
        if self.decay >= 1:
            raise ValueError(f"decay ({self.decay}) must be below 1: nothing would be averaged")


class Averaging:
    """The average of a training so far; the model itself without settings.

    Args:
        settings: How it is averaged, if it is.
        model: The model that is trained.
    """

    def __init__(self, settings: MovingAverage | None, model: TrainableModel) -> None:
        self.settings = settings
        self.averaged = None if settings is None else AveragedModel(model)

    def model(self, trained: TrainableModel) -> TrainableModel:
        """Returns the model that is judged: the average, or else the trained one."""
        if self.averaged is None:
            return trained
        return cast(TrainableModel, self.averaged.module)

    def update(self, trained: TrainableModel) -> None:
        """Takes new weights in; statistics of norms are the newest ones."""
        if self.averaged is None or self.settings is None:
            return
        made = int(self.averaged.n_averaged)
        decay = min(self.settings.decay, (1 + made) / (10 + made))
        self.averaged.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self.averaged.update_parameters(trained)

    def restart(self) -> None:
        """Begins again with the next weights."""
        if self.averaged is not None:
            self.averaged.n_averaged.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Returns the averaged weights and how often they were; nothing without an average."""
        if self.averaged is None:
            return {}
        made = int(self.averaged.n_averaged)
        return {AVERAGED: self.averaged.module.state_dict(), "averaged_updates": made}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave; begins with the next weights where it gave none."""
        if self.averaged is None:
            return
        if AVERAGED not in state:
            self.restart()
            return
        self.averaged.module.load_state_dict(state[AVERAGED])
        self.averaged.n_averaged.fill_(int(state["averaged_updates"]))
