"""How much a model changes its mind about an utterance that is masked in another way.

Shape letters: B utterances, T frames, V symbols of a frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.masking import length_mask


def view_divergence(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Returns the divergence of two views of each utterance, over all frames, both ways.

    Each view learns from the other one as it is: no gradient goes through what is learnt from.

    Args:
        log_probs: (2 B, T, V) log-probabilities of the first views, then of the second ones.
        lengths: (2 B,) valid frames.

    Returns:
        (B,) sums over frames of KL(second || first) + KL(first || second).

    Source: Yao et al. 2024, "CR-CTC: consistency regularization on CTC for improved speech
        recognition", section 3.2.
    """
    others = torch.cat(log_probs.detach().chunk(2)[::-1])  # (2 B, T, V)
    frames = (others.exp() * (others - log_probs)).sum(2)  # (2 B, T)
    mask = length_mask(lengths, log_probs.shape[1])
    first, second = frames.masked_fill(~mask, 0.0).sum(1).chunk(2)
    return first + second
