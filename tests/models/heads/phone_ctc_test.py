"""The head of phones: its loss by hand, and what it is trained on."""

from __future__ import annotations

import itertools

import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.models.heads.phone_ctc import PhoneCtcHead
from asrkit.models.identity import IdentityEncoder
from asrkit.models.interfaces import Encoded
from asrkit.text.vocabulary import Vocabulary


def head(phones: list[str]) -> PhoneCtcHead:
    torch.manual_seed(1)
    return PhoneCtcHead(IdentityEncoder(4), Vocabulary(["a"]), 1.0, phones).eval()


def batch(phones: list[list[int]], frames: int) -> Batch:
    rows = [torch.tensor(row) for row in phones]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    count = len(rows)
    lengths = torch.full((count,), frames)
    labels = torch.zeros(count, 0).long(), torch.zeros(count).long()
    names = [f"u{n}" for n in range(count)]
    return Batch(names, torch.zeros(count, frames, 4), lengths, *labels, padded)


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]


def test_the_loss_is_that_of_all_paths_of_the_given_phones() -> None:
    made, said = head(["AA", "B"]), [[1, 1], [0]]
    encoded = Encoded(torch.randn(2, 4, 4), torch.tensor([4, 3]))
    report = made.loss(encoded, batch(said, 4))
    log_probs, lengths = made.log_posteriors(encoded)
    expected = []
    for row, phones, length in zip(log_probs, said, lengths.tolist(), strict=True):
        paths = itertools.product(range(3), repeat=length)
        found = [p for p in paths if collapsed(p, blank=2) == phones]
        scores = torch.stack([row[range(length), list(path)].sum() for path in found])
        expected.append(-float(scores.logsumexp(0).detach()))
    assert report["loss"].per_utterance is not None
    assert report["loss"].per_utterance.tolist() == pytest.approx(expected, abs=1e-4)
    assert (report["loss"].count, float(report["infeasible"].total)) == (3, 0.0)


def test_phones_without_enough_frames_are_counted_and_add_nothing() -> None:
    made = head(["AA", "B"])
    report = made.loss(Encoded(torch.randn(1, 2, 4), torch.tensor([2])), batch([[1, 1]], 2))
    assert (float(report["loss"].total), float(report["infeasible"].total)) == (0.0, 1.0)


@pytest.mark.parametrize("phones", [[], ["AA", "AA"]])
def test_phones_are_different(phones: list[str]) -> None:
    with pytest.raises(ValueError, match="phones must be different names"):
        head(phones)
