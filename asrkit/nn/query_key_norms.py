"""Normalisation of queries and keys, so that attention scores can't grow without bounds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Registry


class QueryKeyNorm(nn.Module):
    """Changes (B, K, T, C) queries and keys before positions; scores are then scaled by C^-0.5."""

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Returns queries and keys of the same shapes."""
        raise NotImplementedError


query_key_norms: Registry[QueryKeyNorm] = Registry(
    "query_key_norm", QueryKeyNorm, late=("head_dim",), default="none"
)


@query_key_norms.register("none")
class NoQueryKeyNorm(QueryKeyNorm):
    """No normalisation.

    Args:
        head_dim: C, not needed here.
    """

    def __init__(self, head_dim: int) -> None:
        super().__init__()

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Returns queries and keys as they are."""
        return query, key


@query_key_norms.register("l2")
class L2QueryKeyNorm(QueryKeyNorm):
    """Divides queries and keys by their lengths; scores are cosines times a learned factor.

    Args:
        head_dim: C.
        scale: The factor at first, such as log2(L² - L) for sequences of about L frames.

    Raises:
        ValueError: If the scale is not positive.

    Source: Henry et al. 2020, section 3 (query-key normalisation).
    """

    def __init__(self, head_dim: int, scale: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale ({scale}) must be positive")
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.undone = head_dim**0.5  # the scaling of scores that comes later

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Returns queries of length scale · C^0.5 and keys of length 1."""
        factor = (self.scale * self.undone).to(query.dtype)
        return F.normalize(query, dim=3) * factor, F.normalize(key, dim=3)


@query_key_norms.register("layer_norm")
class LayerQueryKeyNorm(QueryKeyNorm):
    """Normalises each query and key over its C values, with gains and without biases.

    Args:
        head_dim: C.
        eps: Added to the variance.

    Source: Dehghani et al. 2023 (ViT-22B), section 2.
    """

    def __init__(self, head_dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.query = nn.LayerNorm(head_dim, eps=eps, bias=False)
        self.key = nn.LayerNorm(head_dim, eps=eps, bias=False)

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Returns queries and keys with mean 0 and variance 1, times the gains."""
        return self.query(query), self.key(key)
