"""What augmentation and regularisation really did, counted where it happens, on its device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

Amount = Tensor | float
Counts = dict[str, tuple[float, float]]
"""How much was changed, and of how much, by name."""


class Applied:
    """Counts how much of its input a module has changed in training.

    Nothing is read from the device before `take`, so that counting costs next to nothing. What
    costs more, as it reads all values, is counted where `sampled` says so: trainings set it for
    some updates.
    """

    def __init__(self) -> None:
        self.sampled = True
        self._counts: dict[str, tuple[Amount, Amount]] = {}

    def count(self, name: str, part: Amount, of: Amount) -> None:
        """Adds to a count.

        Args:
            name: Of what is counted.
            part: How much was changed: a number, or () on any device.
            of: How much there was; 0 if that is all that is counted by names with the same
                beginning, up to the dot.
        """
        before = self._counts.get(name, (0.0, 0.0))
        self._counts[name] = before[0] + part, before[1] + of

    def count_dropped(self, before: Tensor, after: Tensor) -> None:
        """Counts which values were set to zero, if this is a sampled update.

        Args:
            before: Any shape.
            after: The same values, some of them 0 now.
        """
        if self.sampled:
            there = torch.count_nonzero(before.detach())
            self.count("dropped_values", there - torch.count_nonzero(after.detach()), there)

    def take(self) -> Counts:
        """Returns the counts since the last time."""
        found = {name: (float(part), float(of)) for name, (part, of) in self._counts.items()}
        self._counts = {}
        return found


def applied_in(model: nn.Module) -> Iterator[tuple[str, Applied]]:
    """Yields what counts in a model, in the attribute `applied` of modules and of their parts.

    Parts that are no modules, such as zoneout, are called by the attribute that has them.
    """
    for name, module in model.named_modules():
        for part, holder in (("", module), *vars(module).items()):
            found = getattr(holder, "applied", None)
            if isinstance(found, Applied):
                yield ".".join(filter(None, (name, part))), found
