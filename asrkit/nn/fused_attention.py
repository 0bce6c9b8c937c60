"""What dropout hides in PyTorch's fused attention, which shows no weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.nn.applied import Applied


@torch.no_grad()
def count_dropped_keys(
    query: Tensor, key: Tensor, allowed: Tensor, probability: float, applied: Applied
) -> None:
    """Counts the attention weights that dropout sets to zero, if this is a sampled update.

    The first utterance is attended to once more, all frames alike, with the random numbers that
    are about to be used: what is left of frames of 1 tells how many were seen. The random numbers
    of training stay as they are.

    Args:
        query: (B, K, L, C), whose size and device are those of attention.
        key: (B, K, T, C).
        allowed: Bool, True where a query may attend; broadcasts to (B, K, L, T).
        probability: Of dropout.
        applied: Counts.
    """
    if not applied.sampled:
        return
    allowed = allowed[:1] if allowed.dim() == 4 else allowed
    allowed = allowed.expand(1, *query.shape[1:3], key.shape[2])  # (1, K, L, T)
    alike = torch.zeros_like(query[:1]), torch.zeros_like(key[:1]), torch.ones_like(key[:1])
    with torch.random.fork_rng([query.device] if query.device.type == "cuda" else []):
        left = F.scaled_dot_product_attention(*alike, allowed, dropout_p=probability)
    there = allowed.sum(3)  # (1, K, L) frames that each query may attend to
    # Each of them has a weight of 1 / there, and what is left of it is scaled up.
    kept = (left[..., 0].float() * (1 - probability)).nan_to_num() * there
    applied.count("dropped_values", there.sum() - kept.sum(), there.sum())
