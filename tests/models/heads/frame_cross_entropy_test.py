"""The head of hybrid models: its loss by hand, upsampling, and scores that padding can't change."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from asrkit.config.build import build
from asrkit.config.registry import Factory, import_all
from asrkit.data.batch import Batch
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.frame_cross_entropy import FrameCrossEntropyHead
from asrkit.models.identity import IdentityEncoder
from asrkit.models.interfaces import Encoded, TrainableModel
from asrkit.nn.upsampling import Repetition, TransposedConvolution
from asrkit.text.vocabulary import Vocabulary

STATES = 5


@dataclass
class Built:
    """What holds a model, as an experiment does."""

    model: Factory[TrainableModel]


def head(**changes: object) -> FrameCrossEntropyHead:
    torch.manual_seed(1)
    arguments = {"weight": 1.0, "states": STATES, **changes}
    made = FrameCrossEntropyHead(IdentityEncoder(4), Vocabulary(["a"]), **arguments)  # type: ignore[arg-type]
    return made.eval()


def batch(states: list[list[int]]) -> Batch:
    rows = [torch.tensor(row) for row in states]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    count = len(states)
    return Batch(
        [f"u{n}" for n in range(count)],
        torch.zeros(count, padded.shape[1], 4),
        torch.tensor([len(row) for row in rows]),
        torch.zeros(count, 0).long(),
        torch.zeros(count).long(),
        padded,
    )


@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_the_loss_is_that_of_a_literal_sum(focal: float) -> None:
    made, frames = head(focal=focal), torch.randn(2, 3, 4)
    states = [[1, 4, 0], [2, 2]]
    encoded = Encoded(frames, torch.tensor([3, 2]), feature_lengths=torch.tensor([3, 2]))
    report = made.loss(encoded, batch(states))
    total = wrong = 0.0
    for row, labels in enumerate(states):
        for frame, state in enumerate(labels):
            logits = made.output.weight @ frames[row, frame] + made.output.bias
            probability = logits.exp()[state] / logits.exp().sum()
            total += float(-probability.log().detach() * (1 - probability.detach()) ** focal)
            wrong += float(logits.argmax() != state)
    assert report["loss"].count == report["errors"].count == 5
    assert float(report["loss"].total.detach()) == pytest.approx(total, rel=1e-5)
    assert float(report["errors"].total) == wrong


@pytest.mark.parametrize(("frames", "encoded", "expected"), [(7, 3, 7), (9, 3, 9), (10, 3, 9)])
def test_frames_are_cut_to_those_of_the_features(frames: int, encoded: int, expected: int) -> None:
    made = head(upsampling=lambda dim: Repetition(dim, 3))
    lengths = torch.tensor([encoded])
    found = Encoded(torch.randn(1, encoded, 4), lengths, feature_lengths=torch.tensor([frames]))
    scores = made.state_scores(found)
    assert scores.lengths.tolist() == [expected]
    assert scores.log_probs.shape == (1, expected, STATES)
    assert made.loss(found, batch([[0] * frames]))["loss"].count == expected


def test_a_transposed_convolution_gives_each_frame_some_of_its_own() -> None:
    torch.manual_seed(1)
    made, frames = TransposedConvolution(4, 3), torch.randn(1, 2, 4)
    found = made(frames)
    assert found.shape == (1, 6, 4)
    weight, bias = made.convolution.weight, made.convolution.bias
    assert bias is not None
    for place in range(6):
        by_hand = torch.relu(weight[:, :, place % 3].T @ frames[0, place // 3] + bias)
        torch.testing.assert_close(found[0, place], by_hand)


def test_hidden_layers_have_a_relu_between_each_two() -> None:
    made, frames = head(hidden=[3, 6]), torch.randn(1, 2, 4)
    encoded = Encoded(frames, torch.tensor([2]))
    first, second = made.hidden
    expected = made.output(second(torch.relu(first(frames)))).log_softmax(2)
    torch.testing.assert_close(made.state_scores(encoded).log_probs, expected)


def test_padding_and_batch_never_change_a_score() -> None:
    import_all()
    torch.manual_seed(1)
    tree = {
        "features": {"type": "ready_made", "dim": 6},
        "encoder": {
            "type": "conformer", "dim": 8, "num_layers": 2,
            "final_norm": "identity", "last_norm": "layer_norm",
            "frontend": {"stacking": {"type": "frame_stacking", "window": 3, "stride": 3}},
            "blocks": {"convolution": {"module": {"type": "convolution", "kernel_size": 3}}},
        },
        "heads": {"states": {
            "type": "frame_cross_entropy", "weight": 1.0, "states": STATES,
            "upsampling": {"type": "transposed_convolution", "factor": 3},
        }},
    }  # fmt: skip
    model = build(Built, {"model": {"type": "asr", **tree}}).model(vocabulary=Vocabulary(["a"]))
    assert isinstance(model, AsrModel)
    model.eval()
    source: object = model.named_heads()["states"]
    assert isinstance(source, FrameCrossEntropyHead)
    signal, lengths = torch.randn(3, 20, 6), torch.tensor([20, 13, 5])
    together = source.state_scores(model.encode(signal, lengths))
    assert together.lengths.tolist() == [20, 13, 5]
    for row, length in enumerate(lengths.tolist()):
        alone = model.encode(signal[row : row + 1, :length], lengths[row : row + 1])
        found = source.state_scores(alone).log_probs[0]
        torch.testing.assert_close(found, together.log_probs[row, :length], atol=1e-5, rtol=1e-5)
