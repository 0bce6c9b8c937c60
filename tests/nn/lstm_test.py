"""LSTMs compute in the precision of their weights, whatever autocast says."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.decoders.recurrent import StackedLstmDecoder
from asrkit.nn.lstm import autocast_lstm, lstm_step, make_lstm, run_lstm
from asrkit.nn.recurrent import BidirectionalLstm
from asrkit.nn.zoneout import Zoneout
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary
from tests.devices import DEVICES

LENGTHS = torch.tensor([5, 3])
Run = Callable[[Any, Tensor], Tensor]


def zeros(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_zeros(2, 8), x.new_zeros(2, 8)


def layer() -> nn.LSTM:
    return nn.LSTM(4, 8, batch_first=True)


@pytest.mark.parametrize(
    ("make", "run"),
    [
        (layer, lambda m, x: run_lstm(m, x)[0]),
        (layer, lambda m, x: lstm_step(m, x[:, 0], zeros(x))[1]),
        (lambda: nn.LSTMCell(4, 8), lambda m, x: lstm_step(m, x[:, 0], zeros(x))[1]),
        (lambda: BidirectionalLstm(4, 8), lambda m, x: m(x, LENGTHS)),
        (lambda: BidirectionalLstm(4, 8, "one"), lambda m, x: m(x, LENGTHS)),
        (layer, lambda m, x: Zoneout().run(m, x, zeros(x))[1][1]),
        (lambda: layer().eval(), lambda m, x: Zoneout(0.2, 0.1).run(m, x, None)[0]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
def test_autocast_changes_nothing(
    make: Callable[[], nn.Module], run: Run, dtype: torch.dtype, device: str
) -> None:
    module, x = make().to(device), torch.randn(2, 5, 4, device=device).to(dtype)
    right = run(module, x.float())
    with torch.autocast(device, torch.bfloat16):
        found = run(module, x)
    assert found.dtype == torch.float32
    assert torch.equal(found, right)


def test_no_module_calls_an_lstm_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            assert not torch.is_autocast_enabled("cpu"), "call it by asrkit.nn.lstm"
            return run(*args)

        return call

    for kind in (nn.LSTM, nn.LSTMCell):
        monkeypatch.setattr(kind, "forward", guarded(kind.forward))
    monkeypatch.setattr(torch, "lstm_cell", guarded(torch.lstm_cell))
    outputs = Outputs.labels_with_eos(Vocabulary(["a", "b"]))
    sizes: dict[str, Any] = {"embedding_dim": 4, "hidden_dim": 6}
    labels, mask = torch.tensor([[0, 1]]), torch.ones(1, 3, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        StackedLstmDecoder(outputs, None, **sizes, num_layers=2)(labels, None, mask[:, :0])
        decoder = LstmDecoder(outputs, 5, **sizes, attention_dim=4, readout_dim=4)
        decoder(labels, torch.randn(1, 3, 5), mask)
        BidirectionalLstm(5, 6)(torch.randn(1, 3, 5), torch.tensor([3]))


def test_an_lstm_under_autocast_is_asked_for_by_name() -> None:
    torch.manual_seed(0)
    module, x = layer(), torch.randn(2, 5, 4)
    right = run_lstm(module, x)[0]
    assert torch.equal(autocast_lstm(module, x)[0], right)
    with torch.autocast("cpu", torch.bfloat16):
        found = autocast_lstm(module, x)[0]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), right, rtol=0.05, atol=0.02)
    found.sum().backward()
    assert all(part.grad is not None for part in module.parameters())


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_layer_with_one_bias_is_one_whose_other_bias_stays_zero(
    bidirectional: bool, device: str
) -> None:
    torch.manual_seed(0)
    one = make_lstm(4, 8, "one", bidirectional).to(device)
    two = make_lstm(4, 8, "two", bidirectional).to(device)
    assert {*two.state_dict()} - {*one.state_dict()} == {
        n for n in two.state_dict() if "_hh" in n and "bias" in n
    }
    assert [*one.state_dict()] == [name for name, _ in one.named_parameters()]
    missing = two.load_state_dict(one.state_dict(), strict=False).missing_keys
    with torch.no_grad():
        for name in missing:
            two.get_parameter(name).zero_()
    x = torch.randn(2, 5, 4, device=device)
    optimizer = torch.optim.SGD(one.parameters(), 0.1)
    for _ in range(2):
        torch.testing.assert_close(run_lstm(one, x)[0], run_lstm(two, x)[0])
        run_lstm(one, x)[0].square().sum().backward()
        optimizer.step()
        two.load_state_dict(one.state_dict(), strict=False)
    state = (x.new_zeros(2, 8), x.new_zeros(2, 8))
    torch.testing.assert_close(lstm_step(one, x[:, 0], state), lstm_step(two, x[:, 0], state))


@pytest.mark.parametrize("device", DEVICES)
def test_a_layer_with_one_bias_is_copied_moved_and_loaded_like_others(device: str) -> None:
    torch.manual_seed(0)
    layer, other = make_lstm(4, 8, "one"), make_lstm(4, 8, "one")
    x = torch.randn(2, 5, 4)
    right = run_lstm(layer, x)[0]
    other.load_state_dict(layer.state_dict())
    for each in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        moved = each.to(device)
        found = run_lstm(moved, x.to(device))[0]
        torch.testing.assert_close(found.cpu(), right)
        assert {str(part.device.type) for part in moved.buffers()} == {device}
    torch.testing.assert_close(run_lstm(layer.double(), x.double())[0].float(), right)
