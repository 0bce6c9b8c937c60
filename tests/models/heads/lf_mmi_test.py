"""The head of LF-MMI: chunks of utterances, scores, and what it says of what it can't learn."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.losses.mmi import Chunk, mmi_loss
from asrkit.losses.mmi_graphs import NumeratorCompiler, ring
from asrkit.losses.sequence_criteria import Mmi, SequenceCriterion, Smbr
from asrkit.models.heads.lf_mmi import LfMmiHead
from asrkit.models.identity import IdentityEncoder
from asrkit.models.interfaces import Encoded
from asrkit.text.vocabulary import Vocabulary

STATES = 6
SAID = [[0, 1, 1, 2, 3, 4, 5, 5, 0, 1], [0, 2, 3, 3, 3]]


def head(**changes: object) -> LfMmiHead:
    torch.manual_seed(1)
    arguments = {"weight": 1.0, "states": STATES, "tolerance": 0, **changes}
    made = LfMmiHead(IdentityEncoder(4), Vocabulary(["a"]), **arguments)  # type: ignore[arg-type]
    made.learn_from(ring(STATES))
    for output in (made.output, made.second):
        if output is not None:
            torch.nn.init.normal_(output.get_parameter(f"{len(output) - 1}.weight"))
    return made.eval()


def batch(states: list[list[int]] = SAID) -> Batch:
    rows = [torch.tensor(row) for row in states]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    lengths, nothing = torch.tensor([len(row) for row in rows]), torch.zeros(len(rows)).long()
    names = [f"u{n}" for n in range(len(rows))]
    return Batch(names, torch.zeros(*padded.shape, 4), lengths, nothing[:, None], nothing, padded)


def encoded(states: list[list[int]] = SAID) -> Encoded:
    lengths = torch.tensor([len(row) for row in states])
    return Encoded(torch.randn(len(states), int(lengths.max()), 4), lengths)


@torch.no_grad()
def test_the_loss_is_that_of_chunks() -> None:
    made, frames = head(chunk=4, l2=0.01), encoded()
    report = made.loss(frames, batch())
    compiler = NumeratorCompiler(ring(STATES), 1, 0)
    total, squares, cross = 0.0, 0.0, 0.0
    for row, begin, end in ((0, 0, 3), (0, 3, 6), (0, 6, 10), (1, 0, 2), (1, 2, 5)):
        part = frames.frames[row : row + 1, begin:end]
        said = compiler(np.array(SAID[row], np.int32), len(SAID[row]))
        chunk, length = [Chunk(said, begin)], torch.tensor([end - begin])
        loss, posteriors = mmi_loss(made.output(part), length, chunk, ring(STATES), made.leak)
        total += float(loss)
        squares += 0.005 * float(made.output(part).square().sum())
        assert made.second is not None
        cross -= float((made.second(part).log_softmax(2) * posteriors).sum())
    assert report["loss"].total.item() == pytest.approx(total + squares, rel=1e-5)
    assert report["loss"].count == 15
    assert report["loss"].per_utterance is not None
    assert report["loss"].per_utterance.sum().item() == pytest.approx(total, rel=1e-5)
    assert report["cross_entropy"].total.item() == pytest.approx(cross, rel=1e-5)
    assert report["cross_entropy"].weight == 0.1


def test_what_has_no_path_is_named_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    unknown = [[0, 1, 1, 4, 5], SAID[1]]  # no phone follows the first but the second
    made, frames = head(chunk=None), encoded(unknown)
    report = made.loss(frames, batch(unknown))
    assert (report["no_path"].total.item(), report["no_path"].count) == (1, 2)
    assert report["loss"].count == 5, "frames of the other alone"
    assert "1 utterances can't be learnt from" in caplog.text
    assert caplog.text.rstrip().endswith(": u0")
    made.loss(frames, batch(unknown))
    assert caplog.text.count("u0") == 1


@torch.no_grad()
def test_smbr_says_errors_and_mmi_apart() -> None:
    frames = encoded()
    mmi = head(chunk=4, l2=0.0).loss(frames, batch())
    smbr = head(chunk=4, l2=0.0, criterion=Smbr("phones", mmi=0.2))
    report = smbr.loss(frames, batch())
    assert report["mmi"].total.item() == pytest.approx(mmi["loss"].total.item(), rel=1e-4)
    assert 0 < report["errors"].total.item() < report["errors"].count == 15
    expected = report["errors"].total + 0.2 * report["mmi"].total
    assert report["loss"].total.item() == pytest.approx(expected.item(), rel=1e-4)
    assert [report[name].weight for name in ("loss", "errors", "mmi")] == [1, 0, 0]
    smbr.learn_from(ring(STATES), silence=range(STATES))
    errors = smbr.loss(frames, batch())["errors"]
    assert errors.total.item() == pytest.approx(0, abs=1e-4), "silence is right for silence"


@pytest.mark.parametrize(("criterion", "share"), [(Mmi(), 0.5), (Smbr(), 0.7)])
def test_the_batch_learns_what_was_said(criterion: SequenceCriterion, share: float) -> None:
    made, frames = head(chunk=4, criterion=criterion), encoded()
    optimizer = torch.optim.Adam(made.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        report = made.loss(frames, batch())
        optimizer.zero_grad()
        torch.stack([part.weight * part.total for part in report.values()]).sum().backward()
        optimizer.step()
        losses.append(report["loss"].total.item())
    assert losses[-1] < share * losses[0]


def test_scores_are_those_of_encoder_frames() -> None:
    made, frames = head(hidden=5), encoded()
    scores = made.state_scores(frames)
    assert scores.log_probs.shape == (2, 10, STATES)
    assert scores.lengths.tolist() == [10, 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": 1}, "states"), ({"leak": 1.0}, "leak"), ({"chunk": 0}, "chunk"),
        ({"l2": -1.0}, "l2"), ({"tolerance": -1}, "tolerance"),
    ],
)  # fmt: skip
def test_impossible_numbers_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head(**changes)


def test_it_has_an_output_for_each_tied_state() -> None:
    with pytest.raises(ValueError, match=r"states \(6\) must be at least as many .* 8"):
        head().learn_from(ring(8))
