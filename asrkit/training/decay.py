"""What weight decay does in an update, for the log."""

from __future__ import annotations

from torch.optim import Optimizer

from asrkit.nn.applied import Applied


def count_decay(optimizer: Optimizer, decoupled: bool, applied: Applied) -> None:
    """Counts what weight decay is about to do, if this is a sampled update.

    Of decoupled decay that is the share of decayed weights that the step removes; of L2, how large
    its gradient is in relation to that of the loss.

    Args:
        optimizer: Of weights with gradients.
        decoupled: Which of both it is.
        applied: Counts.
    """
    if not applied.sampled:
        return
    for group in optimizer.param_groups:
        decay = group["weight_decay"]
        for parameter in group["params"] if decay else ():
            if parameter.grad is None:
                continue
            norm = parameter.detach().norm()
            if decoupled:
                applied.count("weight_decay", group["lr"] * decay * norm, norm)
            else:
                applied.count("l2_gradient", decay * norm, parameter.grad.norm())
