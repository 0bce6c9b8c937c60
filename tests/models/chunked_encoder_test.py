"""An encoder of chunks: each is heard with a little around it, and a stream like the whole."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.ordered import Ordered
from asrkit.errors import UserError
from asrkit.models.blstm import BlstmEncoder
from asrkit.models.chunked_encoder import ChunkedEncoder, Window
from asrkit.models.conformer import Conformer
from asrkit.models.encoder_stream import EncoderStream
from asrkit.nn.attention import SelfAttention
from asrkit.nn.conv2d import Conv2dFrontend
from asrkit.nn.convolution import Convolution
from asrkit.nn.features import GlobalNormalization, LogMel, UtteranceNormalization
from asrkit.nn.positions import TransformerXLPosition
from asrkit.nn.residual import Residual
from asrkit.nn.signal_normalization import PeakNormalization

BINS = 6
LENGTHS = torch.tensor([50, 17, 24, 3])


def inner(input_dim: int) -> Conformer:
    """A small Conformer that makes a frame of four."""
    attention = partial(SelfAttention, num_heads=2, position=TransformerXLPosition)
    convolution = partial(Convolution, kernel_size=5)
    return Conformer(
        input_dim,
        8,
        2,
        Ordered(
            attention=partial(Residual, module=attention),
            convolution=partial(Residual, module=convolution),
        ),
        Ordered(conv2d=partial(Conv2dFrontend, channels=[4, 4], strides=[2, 2], dim=8)),
        taps=[1],
    )


def make(size: int = 16, left: int = 8, right: int = 6, encoder: Any = inner) -> ChunkedEncoder:
    torch.manual_seed(0)
    return ChunkedEncoder(BINS, encoder, size, left, right).eval()


def features() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(len(LENGTHS), int(LENGTHS.max()), BINS)


@pytest.mark.parametrize("encoder", [inner, partial(BlstmEncoder, hidden_dim=4, num_layers=1)])
def test_chunks_are_encoded_with_what_is_around_them_and_nothing_else(encoder: Any) -> None:
    chunked, seen = make(encoder=encoder), features()
    with torch.no_grad():
        found = chunked(seen, LENGTHS)
        assert torch.equal(found.lengths, chunked.encoder.output_lengths(LENGTHS))
        assert torch.equal(found.lengths, chunked.output_lengths(LENGTHS))
        for row, length in enumerate(LENGTHS.tolist()):
            for start in range(0, length, 16):
                begin, end = max(start - 8, 0), min(start + 16 + 6, length)
                window = chunked.encoder(seen[row, None, begin:end], torch.tensor([end - begin]))
                dropped = int(chunked.output_lengths(torch.tensor([start - begin]))) if start else 0
                first = int(chunked.output_lengths(torch.tensor([start]))) if start else 0
                count = min(chunked.chunk_frames, int(found.lengths[row]) - first)
                expected = window.frames[0, dropped : dropped + count]
                torch.testing.assert_close(
                    found.frames[row, first : first + count], expected, atol=1e-5, rtol=1e-5
                )
                for tap, frames in window.taps.items():
                    expected = frames[0, dropped : dropped + count]
                    part = found.taps[tap][row, first : first + count]
                    torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)


def test_without_surroundings_chunks_are_utterances() -> None:
    chunked, seen = make(left=0, right=0), features()
    with torch.no_grad():
        found = chunked(seen[:1, :48], torch.tensor([48]))
        alone = chunked.encoder(seen[:1, :48].view(3, 16, BINS), torch.full((3,), 16))
    torch.testing.assert_close(found.frames[0], alone.frames.flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_gradients_reach_all_frames() -> None:
    chunked = make().train()
    seen = features().requires_grad_()
    chunked(seen, LENGTHS).frames[0].sum().backward()
    assert seen.grad is not None
    assert bool((seen.grad[0].abs().sum(1) > 0).all())


def test_sizes_that_end_within_a_frame_are_refused() -> None:
    for sizes, said in (
        ({"size": 15}, "size (15)"),
        ({"left": 6}, "left (6)"),
        ({"size": 0}, "at least 1"),
        ({"right": -1}, "at least 0"),
    ):
        with pytest.raises(ValueError, match=said.replace("(", r"\(").replace(")", r"\)")):
            make(**sizes)
    assert make(right=5).window == Window(16, 8, 5)


@pytest.mark.parametrize("count", [5000, 4999, 3217, 1600, 90, 1, 0])
@pytest.mark.parametrize(("left", "right"), [(8, 6), (0, 0), (32, 20)])
def test_a_stream_is_encoded_like_the_whole(count: int, left: int, right: int) -> None:
    torch.manual_seed(0)
    speech = LogMel(BINS, 1000, normalization=GlobalNormalization)
    chunked = make(left=left, right=right)
    samples = torch.randint(-3000, 3000, (count,), dtype=torch.int16)
    stream, chosen = EncoderStream(speech, chunked), random.Random(count)
    with torch.no_grad():
        whole = chunked(*speech(samples[None], torch.tensor([count])))
        found, place = [], 0
        while place < count:
            step = chosen.randint(1, 700)
            found += list(stream.feed(samples[place : place + step]))
            place += step
            assert len(stream.samples) < 10 * (left + 2 * 16 + right) + 1000
        found += list(stream.finish())
    frames = torch.cat([chunk.frames[0] for chunk in found])
    assert sum(int(chunk.lengths) for chunk in found) == int(whole.lengths)
    assert all(int(chunk.lengths) == chunked.chunk_frames for chunk in found[:-1])
    torch.testing.assert_close(frames, whole.frames[0], atol=1e-5, rtol=1e-5)


def test_a_stream_needs_an_encoder_of_chunks_and_frames_of_their_own_samples() -> None:
    class Model:
        features = LogMel(BINS, 1000)
        encoder: Any = inner(BINS)

    model: Any = Model()
    with pytest.raises(UserError, match="type chunked; the model has Conformer"):
        EncoderStream.of(model)
    model.encoder = make()
    assert EncoderStream.of(model).encoder is model.encoder
    model.features = LogMel(BINS, 1000, normalization=UtteranceNormalization)
    with pytest.raises(UserError, match="UtteranceNormalization"):
        EncoderStream.of(model)
    model.features = LogMel(BINS, 1000, signal_normalization=PeakNormalization())
    with pytest.raises(UserError, match=r"features\.signal_normalization .* at its end only"):
        EncoderStream.of(model)
