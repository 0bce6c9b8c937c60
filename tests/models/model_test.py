"""What must hold for every encoder, head and decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.build import build, dry_build
from asrkit.config.registry import Factory, import_all
from asrkit.data.batch import Batch
from asrkit.losses.cross_entropy import cross_entropy
from asrkit.losses.ctc import ctc_loss
from asrkit.models.asr_model import AsrModel
from asrkit.models.decoders.targets import with_eos
from asrkit.models.heads.attention import AttentionHead
from asrkit.models.interfaces import Encoder, TrainableModel
from asrkit.scorers.interfaces import select
from asrkit.text.vocabulary import Vocabulary

import_all()
V = 7
FRONTEND = [{"type": "conv2d", "channels": [4, 4], "strides": [2, 2], "dim": 16}]


def blocks(
    position: Any = "transformer_xl", norm: str = "batch_norm", gated: bool = True
) -> list[dict[str, Any]]:
    ffn = {"type": "feed_forward", "hidden_dim": 24}
    attention = {"type": "self_attention", "num_heads": 2, "position": position}
    convolution = {"type": "convolution", "kernel_size": 4, "norm": norm}
    gate = {"type": "squeeze_excitation", "bottleneck_dim": 4} if gated else "identity"
    depth = {"type": "stochastic_depth", "survival": 0.5, "profile": "linear"}
    return [
        {"name": "ffn1", "scale": 0.5, "module": ffn, "keep": depth},
        {"name": "attention", "module": attention},
        {"name": "convolution", "module": {**convolution, "gate": gate}},
    ]


def conformer(**changes: Any) -> dict[str, Any]:
    base = {"type": "conformer", "dim": 16, "num_layers": 2, "frontend": FRONTEND}
    return {**base, "blocks": blocks(), **changes}


ENCODERS = {
    "conformer": conformer(),
    "rotary": conformer(blocks=blocks("rotary", "group_norm")),
    "clipped": conformer(blocks=blocks({"type": "clipped_relative", "clip": 2}, "layer_norm")),
    "chunked": conformer(
        context={"span": {"type": "chunked", "chunk_size": 2}}, taps=[1], blocks=blocks(gated=False)
    ),
    "sinusoidal": conformer(frontend=[*FRONTEND, "sinusoidal"], blocks=blocks("none")),
    "vgg": conformer(
        frontend=[
            {"type": "vgg", "channels": [4, 4], "time_pools": [1, 2], "frequency_pools": [2, 1]},
            {"type": "frame_stacking", "window": 3, "stride": 3},
        ]
    ),
    "transformer": {
        "type": "transformer",
        "dim": 16,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward": {"hidden_dim": 24},
        "taps": [1],
        "frontend": FRONTEND,
    },
    "blstm": {"type": "blstm", "hidden_dim": 8, "num_layers": 2, "pools": [3, 2]},
}
DECODERS = {
    "transformer": {
        "type": "transformer",
        "dim": 12,
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 20,
    },
    "lstm": {
        "type": "lstm",
        "embedding_dim": 6,
        "hidden_dim": 10,
        "attention_dim": 8,
        "readout_dim": 12,
        "zoneout_cell": 0.1,
    },
}


def make_encoder(spec: dict[str, Any]) -> Encoder:
    torch.manual_seed(0)
    holder = build(Holder, {"encoder": spec})
    return holder.encoder(input_dim=10).eval()


class Holder:
    def __init__(self, encoder: Factory[Encoder]) -> None:
        self.encoder = encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_never_changes_valid_frames(name: str) -> None:
    encoder = make_encoder(ENCODERS[name])
    lengths = torch.tensor([23, 17, 9])
    features = torch.randn(3, 23, 10)
    clean = encoder(features, lengths)
    dirty = features.clone()
    for row, length in enumerate(lengths.tolist()):
        dirty[row, length:] = 1e4
    with_garbage = encoder(dirty, lengths)
    for row, length in enumerate(clean.lengths.tolist()):
        alone = encoder(features[row : row + 1, : int(lengths[row])], lengths[row : row + 1])
        assert int(alone.lengths) == length
        for other in (with_garbage.frames[row], alone.frames[0]):
            torch.testing.assert_close(
                other[:length], clean.frames[row, :length], atol=2e-5, rtol=1e-4
            )


@pytest.mark.parametrize("name", ENCODERS)
def test_output_lengths_are_those_of_the_output(name: str) -> None:
    encoder = make_encoder(ENCODERS[name])
    lengths = torch.tensor([23, 1, 12, 5])
    encoded = encoder(torch.randn(4, 23, 10), lengths)
    assert encoded.lengths.tolist() == encoder.output_lengths(lengths).tolist()
    assert encoded.frames.shape == (4, int(encoded.lengths.max()), encoder.dim)
    assert sorted(encoded.taps) == encoder.taps


@pytest.mark.parametrize("span", ["causal", {"type": "chunked", "chunk_size": 2}])
def test_limited_spans_see_no_future(span: Any) -> None:
    encoder = make_encoder(
        conformer(context={"span": span}, frontend=[], blocks=blocks(gated=False))
    )
    features = torch.randn(1, 10, 10)
    changed = features.clone()
    changed[:, 6:] = 5.0
    lengths = torch.tensor([10])
    before, after = (encoder(x, lengths).frames[:, :6] for x in (features, changed))
    torch.testing.assert_close(before, after)
    full = make_encoder(conformer(frontend=[], blocks=blocks(gated=False)))
    assert not torch.allclose(
        full(features, lengths).frames[:, :6], full(changed, lengths).frames[:, :6]
    )


def make_model(decoder: str = "transformer", **heads: Any) -> AsrModel:
    torch.manual_seed(0)
    spec = {
        "features": {"type": "log_mel", "num_mels": 10},
        "encoder": conformer(taps=[1]),
        "heads": {
            "ctc": {"type": "ctc", "weight": 0.5, "tap": 1},
            "attention": {"type": "attention", "weight": 0.5, "decoder": DECODERS[decoder]},
            **heads,
        },
    }
    model = build(ModelHolder, {"model": spec}).model(vocabulary=Vocabulary(list("abcdefg")))
    assert isinstance(model, AsrModel)
    return model


class ModelHolder:
    def __init__(self, model: Factory[TrainableModel]) -> None:
        self.model = model


def make_batch(order: list[int]) -> Batch:
    torch.manual_seed(1)
    signals = (torch.randn(3, 8000) * 3000).to(torch.int16)
    lengths, labels = torch.tensor([8000, 6400, 4000]), torch.randint(0, V, (3, 4))
    label_lengths = torch.tensor([4, 3, 2])
    return Batch(
        [str(i) for i in order], signals[order], lengths[order], labels[order], label_lengths[order]
    )


@pytest.mark.parametrize("decoder", DECODERS)
def test_order_of_a_batch_never_changes_the_loss(decoder: str) -> None:
    model = make_model(decoder).eval()
    first, second = model(make_batch([0, 1, 2])), model(make_batch([2, 0, 1]))
    for name, part in first.items():
        torch.testing.assert_close(part.total, second[name].total, rtol=1e-4, atol=1e-4)
        assert part.count == second[name].count


@pytest.mark.parametrize("decoder", DECODERS)
def test_loss_of_a_batch_is_the_sum_of_its_utterances(decoder: str) -> None:
    model = make_model(decoder).eval()
    whole = model(make_batch([0, 1, 2]))
    singles = [model(make_batch([i])) for i in range(3)]
    for name in ("ctc.loss", "attention.loss"):
        total = sum(report[name].total for report in singles)
        torch.testing.assert_close(whole[name].total, total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_step_by_step_scores_equal_teacher_forcing(decoder: str) -> None:
    model = make_model(decoder).eval()
    batch = make_batch([0, 1, 2])
    with torch.no_grad():
        encoded = model.encode(batch.signal, batch.signal_lengths)
        head = model.heads["attention"]
        assert isinstance(head, AttentionHead)
        inputs, _, _ = with_eos(batch, head.eos)
        frames = torch.arange(encoded.frames.shape[1])
        mask = frames < encoded.lengths[:, None]
        expected = head.decoder(inputs, encoded.frames, mask).log_softmax(2)
        scorer = head.label_scorer(encoded).subset(torch.tensor([2, 0]))
        # Two equal hypotheses of each utterance, in the order of the subset.
        state = select(scorer.initial_state(), torch.tensor([0, 0, 1, 1]))
        rows = torch.tensor([2, 2, 0, 0])
        for position in range(3):
            torch.testing.assert_close(
                scorer.score(state), expected[rows, position], atol=1e-5, rtol=1e-4
            )
            state = scorer.advance(state, batch.labels[rows, position])


def test_attention_pictures_are_distributions() -> None:
    for decoder in DECODERS:
        model = make_model(decoder).eval()
        batch = make_batch([0, 1, 2])
        encoded = model.encode(batch.signal, batch.signal_lengths)
        head = model.heads["attention"]
        assert isinstance(head, AttentionHead)
        weights = head.attention_weights(encoded, batch)
        torch.testing.assert_close(weights.sum(2), torch.ones(3, 5))
        assert float(weights.detach()[2, :, int(encoded.lengths[2]) :].abs().max()) == 0.0


def test_two_refused_parts_are_found_at_once() -> None:
    spec = {
        "features": "log_mel",
        "encoder": conformer(taps=[1]),
        "heads": {
            "one": {"type": "ctc", "weight": 1.0, "tap": 9},
            "two": {"type": "ctc", "weight": 1.0, "tap": 2},
        },
    }
    found = dry_build(TrainableModel, spec, "", {"vocabulary": Vocabulary(["a"])})
    assert [problem.path for problem in found] == ["heads.one", "heads.two"]
    assert "tap (9) is beyond the encoder's blocks 1 to 2" in found[0].message
    assert "not among the encoder's taps [1]" in found[1].message


def test_the_model_learns_a_few_utterances_by_heart() -> None:
    model = make_model().train()
    batch = make_batch([0, 1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    first = last = 0.0
    for step in range(60):
        torch.manual_seed(step)
        report = model(batch, step)
        objective = sum(p.weight * p.total / 9 for p in report.values())
        assert isinstance(objective, Tensor)
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
        last = float(objective.detach())
        first = first or last
    assert last < 0.5 * first


def test_cross_entropy_equals_torch() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 5), torch.randint(0, 5, (2, 3))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    for smoothing in (0.0, 0.1):
        # torch shares the smoothed mass among all classes, the target included.
        expected = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            reduction="none",
            label_smoothing=smoothing * 5 / 4,
        ).view(2, 3)
        found = cross_entropy(logits, targets, mask, smoothing)
        torch.testing.assert_close(found, (expected * mask).sum(1))


def test_ctc_loss_ignores_what_can_not_be_aligned() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 4, 3, requires_grad=True)
    labels = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    losses, feasible = ctc_loss(
        scores.log_softmax(2), torch.tensor([4, 4, 1]), labels, torch.tensor([3, 3, 1])
    )
    assert feasible.tolist() == [True, False, True]
    assert float(losses[1]) == 0.0
    losses.sum().backward()
    assert scores.grad is not None
    assert float(scores.grad[1].abs().max()) == 0.0
    assert float(scores.grad[0].abs().max()) > 0.0
    torch.testing.assert_close(losses[2], -scores[2].log_softmax(1)[0, 1])
