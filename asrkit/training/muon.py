"""Muon: matrices take orthogonalised steps, everything else those of AdamW."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from asrkit.bounds import refuse_below
from asrkit.config.ordered import Ordered
from asrkit.training.importing import check_patterns
from asrkit.training.optimizers import OptimizerFactory, optimizers
from asrkit.training.parameter_groups import ParameterGroup, owned_parameters, parameter_groups

Rates = Literal["original", "match_rms_adamw"]


@optimizers.register("muon")
@dataclass(frozen=True)
class Muon(OptimizerFactory):
    """Momentum whose steps are made orthogonal, for matrices; AdamW for everything else.

    Everything else is what has not two axes, such as biases, norms and kernels of convolutions,
    tables of embeddings, and what `adamw` selects: by the authors' advice the outputs of heads.

    Args:
        weight_decay: Share of a weight that a step removes, times the learning rate.
        momentum: Share of the last direction in the next.
        nesterov: Whether momentum looks ahead.
        rates: How learning rates depend on a matrix's shape: `match_rms_adamw` makes steps as
            large as AdamW's, so that one schedule is for both; `original` is the first author's.
        adamw: Regular expressions, searched in names, of matrices that AdamW trains.
        betas: Decay of AdamW's running moments.
        eps: Added to the root of AdamW's second moment.
        groups: Parameters with settings of their own, by name; the first that selects one holds.

    Raises:
        ValueError: If the momentum is below 0.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et
        al. 2025, "Muon is scalable for LLM training", section 2.2 (rates).
    """

    weight_decay: float = 0.01
    momentum: float = 0.95
    nesterov: bool = True
    rates: Rates = "match_rms_adamw"
    adamw: list[str] = field(default_factory=list)
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    groups: Ordered[ParameterGroup] = field(default_factory=Ordered)

    def __post_init__(self) -> None:
        refuse_below(0, momentum=self.momentum)
        check_patterns(self.adamw)

    def sorted_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Returns the groups of a model, each in two: of matrices, and of everything else.

        Raises:
            ValueError: If a pattern of `adamw` selects no matrix.
        """
        matrices = self._matrices(model)
        groups = parameter_groups(model, [*self.groups.values()], self.weight_decay)
        result = []
        for orthogonal in (True, False):
            for group in groups:
                members = [p for p in group["params"] if (id(p) in matrices) == orthogonal]
                if members:
                    result.append({**group, "params": members, "orthogonal": orthogonal})
        return result

    def make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Returns the optimiser of torch parameter groups."""
        own = [group for group in groups if group.get("orthogonal", False)]
        others = [group for group in groups if not group.get("orthogonal", False)]
        parts: list[Optimizer] = []
        if own:
            settings: dict[str, Any] = {"momentum": self.momentum, "nesterov": self.nesterov}
            parts.append(torch.optim.Muon(own, lr=0.0, adjust_lr_fn=self.rates, **settings))
        if others:
            parts.append(
                torch.optim.AdamW(others, lr=0.0, betas=self.betas, eps=self.eps, fused=True)
            )
        return Together(parts)

    def is_decoupled(self) -> bool:
        """Returns True."""
        return True

    def _matrices(self, model: nn.Module) -> set[int]:
        """Returns the ids of the parameters that take orthogonal steps."""
        unused, found = set(self.adamw), set()
        for each in owned_parameters(model):
            if each.parameter.dim() != 2 or "Embedding" in each.owners:
                continue
            left = {pattern for pattern in self.adamw if re.search(pattern, each.name)}
            unused -= left
            if not left:
                found.add(id(each.parameter))
        if unused:
            raise ValueError(f"optimizer.adamw: {sorted(unused)[0]!r} selects no matrix")
        return found


class Together(Optimizer):
    """Several optimisers, each of some groups, that step as one.

    Args:
        parts: The optimisers; their groups are this one's, in order.
    """

    def __init__(self, parts: Iterable[Optimizer]) -> None:
        self.parts = list(parts)
        groups = [group for part in self.parts for group in part.param_groups]
        super().__init__(groups, {})
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Makes a step of each part."""
        assert closure is None, "losses are computed before"
        for part in self.parts:
            part.step()
        for part in self.parts:
            self.state.update(part.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` gave, also in the parts."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Gives the parts this one's groups and moments: a change of either is one of both."""
        begin = 0
        for part in self.parts:
            end = begin + len(part.param_groups)
            part.param_groups = self.param_groups[begin:end]
            own: set[Tensor] = {p for group in part.param_groups for p in group["params"]}
            part.state.clear()
            part.state.update({p: self.state[p] for p in own if p in self.state})
            begin = end
