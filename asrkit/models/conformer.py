"""The Conformer encoder: named residual sublayers, repeated.

What varies between published Conformers is which sublayers a block has, in which order, and with
which parts: all of that is `blocks` in YAML, by name, not a flag here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.models.interfaces import Encoded, Encoder, encoders
from asrkit.models.taps import checked_taps
from asrkit.nn.contexts import EncoderContext
from asrkit.nn.dropout import Dropout
from asrkit.nn.masking import SequenceContext
from asrkit.nn.named import named_modules
from asrkit.nn.norms import IdentityNorm, LayerNorm, Norm
from asrkit.nn.resampling import Frontend, FrontendStack
from asrkit.nn.residual import Place, Residual


@encoders.register("conformer")
class Conformer(Encoder):
    """Frontend, linear layer to D, then blocks of residual sublayers.

    Args:
        input_dim: F of the features.
        dim: D.
        num_layers: Number of blocks.
        blocks: The sublayers of each block by name, which is part of parameters' names, in order.
        frontend: What shortens the features first, by name, in order.
        context: What frames see of each other.
        taps: Blocks, counted from 1, whose outputs heads may read.
        final_norm: After each block.
        last_norm: After the last block.
        dropout: Before the first block.
        first_blocks: The first block that has a sublayer, by name, where that is not block 1.
        skips: Pairs of blocks: the output of the first, or what goes into block 1 for 0, is added
            to that of the second.
        input_bias: Whether the linear layer to D, where there is one, has a bias.

    Raises:
        ValueError: If a tap or skip is not a block, a sublayer can't have its name, is unknown or
            nowhere, or the span sees no future but a gate or norm needs all frames.

    Source: Gulati et al. 2020, section 2.
    """

    def __init__(
        self,
        input_dim: int,
        dim: int,
        num_layers: int,
        blocks: Ordered[Factory[Residual]],
        frontend: Ordered[Factory[Frontend]],
        context: EncoderContext = EncoderContext(),  # noqa: B008 - has no state
        taps: list[int] = [],  # noqa: B006 - never changed
        final_norm: Factory[Norm] = LayerNorm,
        last_norm: Factory[Norm] = IdentityNorm,
        dropout: float = 0.1,
        first_blocks: dict[str, int] = {},  # noqa: B006 - never changed
        skips: list[tuple[int, int]] = [],  # noqa: B006 - never changed
        input_bias: bool = True,
    ) -> None:
        super().__init__()
        require_places(blocks, num_layers, first_blocks, skips)
        self.dim, self.num_layers, self.context = dim, num_layers, context
        self.taps = checked_taps(taps, num_layers)
        self.frontends = FrontendStack(frontend.values(), input_dim)
        self.input = projection(self.frontends.dim, dim, input_bias)
        self.dropout = Dropout(dropout)
        kinds = sublayer_kinds(blocks, dim)
        self.blocks = nn.ModuleList(
            make_block(blocks, kinds, dim, block, num_layers, first_blocks)
            for block in range(1, num_layers + 1)
        )
        self.skips = skips
        self.norms = nn.ModuleList(final_norm(dim=dim) for _ in range(num_layers))
        self.last_norm = last_norm(dim=dim)
        context.check(self)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        return self.frontends.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""
        frames, lengths = self.frontends(features, lengths)
        frames = self.dropout(self.input(frames))
        outputs = self.context.apply(self._outputs, frames, lengths, self.training)
        taps = {number: outputs[number] for number in self.taps}
        return Encoded(frames=outputs[self.num_layers], lengths=lengths, taps=taps)

    def _outputs(self, frames: Tensor, context: SequenceContext) -> dict[int, Tensor]:
        """Returns the outputs (B, T, D) of tapped blocks and of the last, by number."""
        outputs: dict[int, Tensor] = {}
        skipped = {start: frames for start, _ in self.skips if start == 0}
        for number, (block, norm) in enumerate(zip(self.blocks, self.norms, strict=True), start=1):
            assert isinstance(block, nn.ModuleDict)
            for residual in block.values():
                frames = residual(frames, context)
            frames = norm(frames, context.mask)
            for start, end in self.skips:
                frames = frames + skipped[start] if end == number else frames
            if any(start == number for start, _ in self.skips):
                skipped[number] = frames
            if number in self.taps or number == self.num_layers:
                outputs[number] = frames
        outputs[self.num_layers] = self.last_norm(outputs[self.num_layers], context.mask)
        return outputs


def projection(input_dim: int, dim: int, bias: bool = True) -> nn.Module:
    """Returns a linear layer to D; nothing where that is the dimension already."""
    return nn.Identity() if input_dim == dim else nn.Linear(input_dim, dim, bias=bias)


def sublayer_kinds(blocks: Ordered[Factory[Residual]], dim: int) -> list[type]:
    """Returns the class of each sublayer of a block, from parts without data."""
    with torch.device("meta"):
        parts: list[nn.Module] = [
            make(dim=dim, place=Place(1, 1, 1, 1)) for make in blocks.values()
        ]
    return [type(part.module) if isinstance(part, Residual) else type(part) for part in parts]


def require_places(
    blocks: Mapping[str, object],
    num_layers: int,
    first_blocks: Mapping[str, int],
    skips: Sequence[tuple[int, int]],
) -> None:
    """Checks what blocks are named by.

    Raises:
        ValueError: If there is no such sublayer or block.
    """
    for name, first in first_blocks.items():
        if name not in blocks:
            raise ValueError(
                f"first_blocks: unknown sublayer {name!r}; those of a block are {', '.join(blocks)}"
            )
        if not 1 <= first <= num_layers:
            raise ValueError(
                f"first_blocks: {name} ({first}) must be a block, 1 to {num_layers}; a sublayer "
                "that no block has is left out of blocks"
            )
    for start, end in skips:
        if not 0 <= start < end <= num_layers:
            raise ValueError(
                f"skips: from {start} to {end} is not possible in {num_layers} blocks; expected a "
                "block, or 0 for what goes into the first, and a later one"
            )


def make_block(
    blocks: Ordered[Factory[Residual]],
    kinds: list[type],
    dim: int,
    block: int,
    num_layers: int,
    first_blocks: Mapping[str, int],
) -> nn.ModuleDict:
    """Returns the sublayers of one block by name.

    Args:
        blocks: The sublayers.
        kinds: Their classes: a sublayer's place counts those of its own kind over all blocks.
        dim: D.
        block: Number of the block, from 1.
        num_layers: How many blocks there are.
        first_blocks: The first block that has a sublayer, by name, where that is not block 1.
    """
    sublayers = {}
    for index, (name, make) in enumerate(blocks.items()):
        if block < first_blocks.get(name, 1):
            continue
        same = kinds.count(kinds[index])
        nth = (block - 1) * same + kinds[: index + 1].count(kinds[index])
        sublayers[name] = make(dim=dim, place=Place(block, num_layers, nth, num_layers * same))
    return named_modules(sublayers, "a sublayer")
