"""Parts of a transducer with one bias where they have two, or with one where they have none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from asrkit.models.blstm import BlstmEncoder, BlstmFrontend
from asrkit.models.heads.transducer.fast_rnns import FastLstm
from asrkit.models.heads.transducer.frame_contexts import WindowAttention
from asrkit.models.heads.transducer.label_rnns import LabelLstm
from asrkit.models.predictors.lstm import LstmPredictor
from asrkit.nn.masking import length_mask
from asrkit.text.outputs import Outputs
from tests.models.heads.ctc_test import LABELS, VOCABULARY

INPUTS = Outputs.labels_with_eos(VOCABULARY)
OUTPUTS = Outputs.labels_with_blank(VOCABULARY)
KINDS: dict[str, Callable[..., nn.Module]] = {
    "predictor": partial(LstmPredictor, INPUTS, 3, 4, num_layers=2),
    "label_rnn": partial(LabelLstm, 3, 2, 4),
    "fast": partial(FastLstm, OUTPUTS, 3, 2, 4, 5),
    "encoder": partial(BlstmEncoder, 3, 4, 2),
    "frontend": partial(BlstmFrontend, 3, 4, [2]),
}


def names(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_second_biases_are_there_or_not(kind: str) -> None:
    make = KINDS[kind]
    two, one = names(make()), names(make(biases="one"))
    assert two - one == {name for name in two if "bias_hh" in name} != set()
    assert one < two


def test_a_predictor_with_the_biases_of_another_says_the_same_also_step_by_step() -> None:
    torch.manual_seed(0)
    one = KINDS["predictor"](biases="one", embedding_bias=True).eval()
    two = KINDS["predictor"]().eval()
    missing, unexpected = two.load_state_dict(one.state_dict(), strict=False)
    assert unexpected == ["embedding_bias.bias"]
    with torch.no_grad():
        for name in missing:
            two.get_parameter(name).zero_()
        one.get_parameter("embedding_bias.bias").copy_(torch.tensor([0.5, -1.0, 2.0]))
        assert not one(LABELS).allclose(two(LABELS), atol=1e-2)
        two.get_parameter("embedding.weight").add_(one.get_parameter("embedding_bias.bias"))
        torch.testing.assert_close(one(LABELS), two(LABELS))
        torch.testing.assert_close(in_steps(one), one(LABELS))
    one(LABELS).square().sum().backward()
    assert all(part.grad is not None and bool(part.grad.any()) for part in one.parameters())


def in_steps(predictor: nn.Module) -> Tensor:
    assert isinstance(predictor, LstmPredictor)
    output, state = predictor.begin(len(LABELS))
    outputs = [output]
    for labels in LABELS.unbind(1):
        output, state = predictor.step(state, labels)
        outputs.append(output)
    return torch.stack(outputs, 1)


def test_symbols_of_a_fast_rnn_have_a_bias_of_their_own() -> None:
    torch.manual_seed(0)
    plain, biased = KINDS["fast"]().eval(), KINDS["fast"](embedding_bias=True).eval()
    biased.load_state_dict(plain.state_dict(), strict=False)
    given = torch.randn(2, 6, 3), torch.randn(2, 6, 2), torch.randint(0, len(OUTPUTS), (2, 6))
    with torch.no_grad():
        torch.testing.assert_close(biased(*given), plain(*given))  # it begins as zeros
        biased.get_parameter("embedding_bias.bias").fill_(0.7)
        plain.get_parameter("embedding.weight").add_(0.7)
        torch.testing.assert_close(biased(*given), plain(*given))


def test_keys_without_a_bias_are_products_alone() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(4, 3, key_dim=6, bias=False).eval()
    assert names(attention) == {"key.weight", "query.weight"}
    biased = WindowAttention(4, 3, key_dim=6).eval()
    biased.load_state_dict(attention.state_dict(), strict=False)
    frames, mask = torch.randn(2, 7, 4), length_mask(torch.tensor([7, 4]), 7)
    with torch.no_grad():
        assert biased.key.bias is not None
        biased.key.bias.normal_(std=3.0)
        # At the ends of an utterance, too, a bias adds the same to all energies of a frame.
        torch.testing.assert_close(attention(frames, mask), biased(frames, mask))
