"""Training on chunks equals training on utterances that someone else has cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.lattice.topologies import CtcTopology, RnaTopology, Topology
from asrkit.models.asr_model import AsrModel
from asrkit.models.chunked import cut_batch, require_chunkable
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.heads.transducer.criteria import Criterion, FullSum, GivenAlignment
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.heads.transducer.parts import JoinerSettings
from asrkit.models.interfaces import Head
from asrkit.models.predictors.lstm import LstmPredictor
from asrkit.nn.chunks import Chunking
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary
from tests.models.asr_model_test import Halves, Pairs

BLANK = 2
# Two samples are a feature frame, two of those an encoder frame: 6 and 4 of them.
BATCH = Batch(
    ids=["long", "short"],
    signal=torch.randn(2, 24, generator=torch.Generator().manual_seed(0)),
    signal_lengths=torch.tensor([24, 14]),
    labels=torch.tensor([[0, 1, 1], [1, 0, 0]]),
    label_lengths=torch.tensor([3, 1]),
    alignment=torch.tensor([[0, 2, 1, 1, 2, 2], [2, 2, 2, 1, -1, -1]]),
)


def make(
    chunks: Chunking | None, topology: Topology | None = None, criterion: Criterion | None = None
) -> AsrModel:
    torch.manual_seed(0)
    heads: dict[str, Factory[Head]] = {
        "transducer": partial(
            TransducerHead,
            weight=1.0,
            topology=topology or RnaTopology(),
            predictor=partial(LstmPredictor, embedding_dim=3, hidden_dim=4, dropout=0.0),
            joiner=JoinerSettings(4, dropout=0.0),
            criterion=criterion or GivenAlignment(focal=2.0),
        ),
        "ctc": partial(CtcHead, weight=1.0, dropout=0.0),
    }
    return AsrModel(Vocabulary(["a", "b"]), Pairs(), Halves, heads, training_chunks=chunks)


def alone(utterance: int, begin: int, end: int, labels: Sequence[int]) -> Batch:
    """Returns encoder frames from begin to end of an utterance, as if it were one."""
    assert BATCH.alignment is not None
    size = int(BATCH.signal_lengths[utterance])
    signal = BATCH.signal[[utterance], 4 * begin : min(4 * end, size)]
    return Batch(
        ids=["alone"],
        signal=signal,
        signal_lengths=torch.tensor([signal.shape[1]]),
        labels=torch.tensor([labels], dtype=torch.int64),
        label_lengths=torch.tensor([len(labels)]),
        alignment=BATCH.alignment[[utterance], begin:end],
    )


WHOLE = [alone(0, 0, 6, [0, 1, 1]), alone(1, 0, 4, [1])]
HALVES = [alone(0, 0, 3, [0, 1]), alone(0, 3, 6, [1]), alone(1, 0, 3, []), alone(1, 3, 4, [1])]
OVERLAPPING = [
    *(alone(0, 0, 4, [0, 1, 1]), alone(0, 2, 6, [1, 1]), alone(0, 4, 6, [])),
    *(alone(1, 0, 4, [1]), alone(1, 2, 4, [1])),
]
# With repeated labels frames 2 and 3 are one label, which a cut between them makes two.
REPEATED = [alone(0, 0, 3, [0, 1]), alone(0, 3, 6, [1]), alone(1, 0, 3, []), alone(1, 3, 4, [1])]
REPEATED_WHOLE = [alone(0, 0, 6, [0, 1]), alone(1, 0, 4, [1])]


@pytest.mark.parametrize(
    ("chunks", "topology", "pieces"),
    [
        (Chunking(50), RnaTopology(), WHOLE),
        (Chunking(6), RnaTopology(), HALVES),
        (Chunking(8, 4), RnaTopology(), OVERLAPPING),
        (Chunking(6), CtcTopology(), REPEATED),
        (Chunking(50), CtcTopology(), REPEATED_WHOLE),
    ],
)
def test_losses_are_those_of_the_pieces(
    chunks: Chunking, topology: Topology, pieces: list[Batch]
) -> None:
    model, plain = make(chunks, topology).train(), make(None, topology).train()
    found = model(BATCH)
    reports = [plain(piece) for piece in pieces]
    for name in ("transducer.loss", "transducer.errors", "ctc.loss"):
        total = sum(float(report[name].total.detach()) for report in reports)
        assert float(found[name].total.detach()) == pytest.approx(total, rel=1e-5), name
        assert found[name].count == sum(report[name].count for report in reports)


def test_nothing_is_cut_outside_of_training() -> None:
    found, expected = (make(chunks).eval()(BATCH) for chunks in (Chunking(6), None))
    for name, part in found.items():
        assert torch.equal(part.total, expected[name].total)


def test_chunks_without_labels_have_a_loss() -> None:
    assert BATCH.alignment is not None
    empty = replace(BATCH, alignment=BATCH.alignment.clamp(min=BLANK))
    report = make(Chunking(6)).train()(empty)
    assert float(report["transducer.loss"].total.detach()) > 0
    assert report["ctc.loss"].count == 0
    assert float(report["ctc.loss"].total.detach()) > 0


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match=r"step \(3\) is not a multiple"):
        make(Chunking(6, 3))
    with pytest.raises(ValueError, match="training_chunks need a head with criterion: alignment"):
        make(Chunking(6), criterion=FullSum())
    model = make(Chunking(6)).train()
    with pytest.raises(UserError, match="utterance long: .* of 6 frames .* got none"):
        model(replace(BATCH, alignment=None))
    assert BATCH.alignment is not None
    with pytest.raises(UserError, match="got 5 frames"):
        model(replace(BATCH, alignment=BATCH.alignment[:, :5]))


@pytest.mark.parametrize("chunks", [Chunking(400, 200), Chunking(5), Chunking(7, 2)])
def test_targets_of_feature_frames_are_cut_where_features_are(chunks: Chunking) -> None:
    lengths = torch.tensor([1003, 400, 6])
    inside = torch.arange(1003) < lengths[:, None]
    states = torch.arange(3009).view(3, 1003).masked_fill(~inside, -1)
    zeros = torch.zeros(3, 2, dtype=torch.int64)
    batch = Batch(["a", "b", "c"], states, lengths, zeros, torch.tensor([2, 2, 1]), states)
    targets = FrameTargets(Outputs.classes(["s"] * 3009), rate="features")
    cut = cut_batch(batch, states[..., None].float(), lengths, chunks, thirds, targets)
    assert cut.alignment is not None
    valid = torch.arange(cut.signal.shape[1]) < cut.signal_lengths[:, None]
    assert cut.alignment.equal(cut.signal[..., 0].long().masked_fill(~valid, -1))
    assert int(cut.signal_lengths.max()) == min(chunks.size, 1003)
    assert cut.labels.shape == (len(cut.ids), 0)  # states don't tell them
    assert cut.label_lengths.tolist() == [0] * len(cut.ids)
    other = replace(batch, alignment=states[:, :335])
    with pytest.raises(UserError, match="of 1003 frames for its batch; got 335 frames"):
        cut_batch(other, states[..., None].float(), lengths, chunks, thirds, targets)


def test_labels_of_feature_frames_are_those_of_the_chunks() -> None:
    symbols = torch.tensor([[2, 0, 0, 2, 1, 1, 1, 2, 0, 2]])
    lengths, features = torch.tensor([10]), torch.zeros(1, 10, 1)
    batch = Batch(["a"], features, lengths, torch.tensor([[0, 1, 0]]), torch.tensor([3]), symbols)
    outputs = Outputs.labels_with_blank(Vocabulary(["a", "b"]))
    targets = FrameTargets(outputs, labels_repeat=True, rate="features")
    cut = cut_batch(batch, features, lengths, Chunking(5), thirds, targets)
    found = zip(cut.labels.tolist(), cut.label_lengths.tolist(), strict=True)
    assert [labels[:size] for labels, size in found] == [[0, 1], [1, 0]]


def test_a_head_that_needs_labels_learns_from_no_chunks_of_states() -> None:
    heads = make(None).named_heads()
    heads["transducer"].given_targets = FrameTargets(Outputs.classes(["s"]), rate="features")
    with pytest.raises(ValueError, match=r"of 1 class don't tell .* heads.ctc is trained on"):
        require_chunkable(Chunking(400, 200), thirds, heads)
    del heads["ctc"]
    require_chunkable(Chunking(400, 200), thirds, heads)


def thirds(lengths: Tensor) -> Tensor:
    return (lengths + 2) // 3
