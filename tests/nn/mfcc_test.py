"""Cepstra against torchaudio's transform."""

from __future__ import annotations

import pytest
import torch
from torchaudio.transforms import MFCC

from asrkit.nn.mfcc import Mfcc


def test_cepstra_are_those_of_torchaudio() -> None:
    torch.manual_seed(0)
    signal = torch.randn(2, 8000) * 0.1
    lengths = torch.tensor([8000, 4000])
    features = Mfcc(num_cepstra=13, num_mels=23, sample_rate=8000)
    assert features.dim == 13
    found, frames = features.unnormalized(signal, lengths)
    options: dict[str, object] = {"n_fft": 256, "win_length": 200, "hop_length": 80, "n_mels": 23}
    options |= {"f_min": 20.0, "center": False, "pad_mode": "constant"}
    reference = MFCC(8000, 13, log_mels=True, melkwargs=options)
    # torchaudio puts the window into the middle of what the transform sees.
    padded = torch.nn.functional.pad(signal, (28, 256))
    floor = reference.MelSpectrogram(padded).clamp(min=1e-10).log()
    expected = (floor.transpose(1, 2) @ reference.dct_mat)[:, :100]
    assert frames.tolist() == [100, 50]
    torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-3)
    alone, _ = features.unnormalized(signal[1:, :4000], lengths[1:])
    torch.testing.assert_close(found[1, :50], alone[0])


def test_more_cepstra_than_filters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_cepstra \(30\) must be 1 to num_mels \(23\)"):
        Mfcc(num_cepstra=30, num_mels=23)
