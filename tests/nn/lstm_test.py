"""LSTMs compute in the precision of their weights, whatever autocast says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.decoders.recurrent import StackedLstmDecoder
from asrkit.nn.lstm import autocast_lstm, lstm_step, run_lstm
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
