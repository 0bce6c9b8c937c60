"""The encoder that hears an utterance in chunks: what it gives of one depends on little around it.

So delay and memory are those of a window, however long an utterance is, and a stream is encoded as
the whole utterance would be. `asrkit/models/chunked.py` is another thing: it cuts utterances into
chunks with labels of their own, in training only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.models.interfaces import Encoded, Encoder, encoders
from asrkit.nn.chunks import Chunking, Chunks


@dataclass(frozen=True)
class Window:
    """Feature frames that are heard for a chunk.

    Args:
        size: Of the chunk.
        left: Frames before it.
        right: Frames after it: the delay.

    Raises:
        ValueError: If there is no chunk, or less than nothing around it.
    """

    size: int
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or min(self.left, self.right) < 0:
            raise ValueError(
                f"a chunk needs a size ({self.size}) of at least 1, and left ({self.left}) and "
                f"right ({self.right}) of at least 0"
            )

    def around(self, chunks: Chunks, lengths: Tensor) -> Chunks:
        """Returns the windows of all chunks of utterances with lengths (B,)."""
        begins = (chunks.starts - self.left).clamp(min=0)  # (C,)
        ends = torch.minimum(chunks.starts + self.size + self.right, lengths[chunks.utterances])
        return replace(chunks, starts=begins, lengths=(ends - begins).clamp(min=1))


@encoders.register("chunked")
class ChunkedEncoder(Encoder):
    """Encodes each chunk of an utterance as if there was nothing but it and a little around it.

    Frames around a chunk are encoded with it, and those that come out for them are dropped.

    Args:
        input_dim: F of the features.
        encoder: What encodes a window.
        size: Feature frames of a chunk; a multiple of those that become a frame of the encoder.
        left: Feature frames before a chunk that are heard with it; such a multiple, too.
        right: Feature frames after a chunk that are heard with it.

    Raises:
        ValueError: If a size is wrong, or not a multiple.

    Source: Zeyer et al. 2024, "Chunked attention-based encoder-decoder model for streaming speech
        recognition", section 2; here frames of the past are encoded again for each chunk.
    """

    def __init__(
        self,
        input_dim: int,
        encoder: Factory[Encoder],
        size: int,
        left: int = 0,
        right: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder(input_dim=input_dim)
        self.window, self.chunking = Window(size, left, right), Chunking(size)
        self.dim, self.num_layers = self.encoder.dim, self.encoder.num_layers
        self.taps = self.encoder.taps
        self._require_whole_frames()
        self.chunk_frames = int(self.encoder.output_lengths(torch.tensor([size], device="cpu")))

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        return self.encoder.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""
        chunks = self.chunking.of(lengths)
        windows = self.window.around(chunks, lengths)
        inside = self.encode(windows.cut(features), windows.lengths, chunks.starts - windows.starts)
        frames = self.output_lengths(lengths)  # (B,)
        ordered = replace(chunks, stride=self.chunk_frames)
        most = int(frames.max())
        taps = {number: ordered.join(each, most) for number, each in inside.taps.items()}
        return Encoded(ordered.join(inside.frames, most), frames, taps)

    def encode(self, windows: Tensor, lengths: Tensor, before: Tensor) -> Encoded:
        """Returns the frames of chunks.

        Args:
            windows: (C, W, F) features of the chunks with what is around them.
            lengths: (C,) of the windows.
            before: (C,) how many of the first features are before a chunk.

        Returns:
            Up to `chunk_frames` frames of each; fewer in an utterance's last chunk.
        """
        encoded: Encoded = self.encoder(windows, lengths)
        # Of 0 features, a frontend may still make a frame.
        dropped = self.output_lengths(before).masked_fill(before == 0, 0)  # (C,)
        left = (encoded.lengths - dropped).clamp(min=0, max=self.chunk_frames)  # (C,)
        places = dropped[:, None] + torch.arange(int(left.max()), device=left.device)  # (C, S)
        rows = torch.arange(len(places), device=left.device)[:, None]

        def kept(frames: Tensor) -> Tensor:
            return frames[rows, places.clamp(max=frames.shape[1] - 1)]

        taps = {number: kept(frames) for number, frames in encoded.taps.items()}
        return Encoded(kept(encoded.frames), left, taps)

    def _require_whole_frames(self) -> None:
        """Checks that the frames of chunks are those of utterances.

        Raises:
            ValueError: If a chunk, or what is heard before it, ends within a frame.
        """
        size, left = self.window.size, self.window.left
        rest = torch.arange(1, size + 1, device="cpu")
        for name, frames in (("size", size), ("left", left)):
            if not frames:
                continue
            whole = self.output_lengths(torch.tensor([frames], device="cpu"))
            if bool(
                (self.output_lengths(rest + frames) != whole + self.output_lengths(rest)).any()
            ):
                raise ValueError(
                    f"{name} ({frames}) of chunks is not a multiple of the feature frames that "
                    "become a frame of the encoder; such as 120 where six frames become one"
                )
