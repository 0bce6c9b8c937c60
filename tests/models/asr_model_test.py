"""The recogniser: which parts run when, and what it refuses."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import Encoded, Encoder, Head
from asrkit.nn.augment import Augment
from asrkit.nn.features import Features, NoNormalization
from asrkit.text.vocabulary import Vocabulary


class Pairs(Features):
    """Two samples are a frame of one feature, times a factor."""

    dim, frame_shift, sample_rate = 1, 2 / 8000, 8000

    def __init__(self, learned: bool = False) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(())) if learned else torch.ones(())
        self.normalization = NoNormalization(dim=1)

    def num_frames(self, num_samples: Tensor) -> Tensor:
        return num_samples // 2

    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames = signal.float().unflatten(1, (-1, 2)).sum(2, keepdim=True) * self.factor
        return frames, self.num_frames(lengths)


class Halves(Encoder):
    """Every second frame, multiplied."""

    num_layers = 1

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.dim, self.taps = 3, []
        self.linear = nn.Linear(input_dim, 3)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return (lengths + 1) // 2

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(self.linear(features[:, ::2]), self.output_lengths(lengths))


class AddStep(Augment):
    """Adds the number of updates, so that it shows."""

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        return features + step, lengths


CTC: Factory[Head] = partial(CtcHead, weight=1.0, dropout=0.0)
BATCH = Batch(
    ids=["a", "b"],
    signal=torch.arange(24).view(2, 12).to(torch.int16),
    signal_lengths=torch.tensor([12, 8]),
    labels=torch.tensor([[0, 1], [1, 0]]),
    label_lengths=torch.tensor([2, 1]),
)


def make(learned: bool = False, names: tuple[str, ...] = ("one", "two")) -> AsrModel:
    torch.manual_seed(0)
    heads = dict.fromkeys(names, CTC)
    return AsrModel(Vocabulary(["a", "b"]), Pairs(learned), Halves, heads, Ordered(steps=AddStep()))


def test_every_part_has_the_name_of_its_head() -> None:
    assert list(make()(BATCH)) == ["one.loss", "one.infeasible", "two.loss", "two.infeasible"]


def test_augmentation_knows_the_step_and_acts_in_training_only() -> None:
    model = make()

    def loss(step: int) -> float:
        return float(model(BATCH, step)["one.loss"].total.detach())

    assert loss(3) != loss(0)
    plain = loss(0)
    model.eval()
    assert loss(3) == loss(0) == plain
    model.train()
    encoded = model.encode(BATCH.signal, BATCH.signal_lengths)
    model.eval()
    torch.testing.assert_close(
        encoded.frames, model.encode(BATCH.signal, BATCH.signal_lengths).frames
    )


def test_output_frames_are_those_of_the_encoder() -> None:
    model = make()
    found = model.output_frames(BATCH.signal_lengths)
    assert found.tolist() == [3, 2]
    encoded = model.encode(BATCH.signal, BATCH.signal_lengths)
    assert encoded.lengths.tolist() == found.tolist()


def test_features_that_learn_get_a_gradient() -> None:
    model = make(learned=True)
    model(BATCH)["one.loss"].total.backward()
    factor = model.features.factor
    assert isinstance(factor, nn.Parameter)
    assert factor.grad is not None
    assert float(factor.grad) != 0.0


def test_a_model_without_head_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one head"):
        AsrModel(Vocabulary(["a"]), Pairs(), Halves, {})


@pytest.mark.parametrize("name", ["a.b", "", "keys", "training"])
def test_names_that_no_module_can_have_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"a head can't have the name '{name}'"):
        make(names=(name,))


def test_each_head_s_part_of_the_gradient_is_counted() -> None:
    def counted(weight: float) -> tuple[float, float, Tensor]:
        model = make().train()
        parts = model(BATCH).values()
        losses = [part.total for part in parts if part.weight]
        (losses[0] + weight * losses[1]).backward()
        found = model.applied.take()
        assert model.eval()(BATCH).keys()
        assert model.applied.take() == {}
        gradient = model.encoder.linear.weight.grad  # type: ignore[union-attr]
        assert isinstance(gradient, Tensor)
        return found["gradient.one"][0], found["gradient.two"][0], gradient

    one, two, plain = counted(1.0)
    once, thrice, changed = counted(3.0)
    assert one == once > 0
    assert thrice == pytest.approx(3 * two)
    assert not torch.equal(plain, changed)


class Doubled(Augment):
    """Doubles the second half of what it gets, which are second views."""

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        factors = torch.ones(len(features), 1, 1)
        factors[len(features) // 2 :] = 2
        return features * factors, lengths


def viewed(views: int, consistency: float = 0.0, **augment: Augment) -> AsrModel:
    torch.manual_seed(0)
    heads = {"ctc": partial(CtcHead, weight=1.0, dropout=0.0, consistency=consistency)}
    vocabulary = Vocabulary(["a", "b"])
    return AsrModel(vocabulary, Pairs(), Halves, heads, Ordered(**augment), views=views)  # type: ignore[arg-type]


def test_losses_are_means_of_views_which_are_compared() -> None:
    one, two = viewed(1)(BATCH), viewed(2, 0.2)(BATCH)
    for name in ("ctc.loss", "ctc.infeasible"):
        torch.testing.assert_close(two[name].total, one[name].total)
        assert two[name].count == one[name].count
    each = two["ctc.loss"].per_utterance
    assert each is not None
    torch.testing.assert_close(each, one["ctc.loss"].per_utterance)
    assert two["ctc.consistency"].weight == 0.2
    assert float(two["ctc.consistency"].total.detach()) == pytest.approx(0.0, abs=1e-5)
    other = viewed(2, 0.2, doubled=Doubled())
    assert float(other(BATCH)["ctc.consistency"].total.detach()) > 0.1
    assert list(other.eval()(BATCH)) == ["ctc.loss", "ctc.infeasible"]


def test_views_that_can_not_be_compared_are_refused() -> None:
    class Moving(AddStep):
        keeps_time = False

    with pytest.raises(ValueError, match=r"heads.ctc compares two views .* got 1"):
        viewed(1, 0.2)
    with pytest.raises(ValueError, match=r"compares frames of two views.*model.augment.moving"):
        viewed(2, 0.2, moving=Moving())
    with pytest.raises(ValueError, match=r"views \(0\) must be at least 1"):
        viewed(0)
    with pytest.raises(ValueError, match="consistency"):
        viewed(2, -0.2)
