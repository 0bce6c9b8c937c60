"""LSTMs compute in the precision of their weights, whatever autocast says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asrkit.models.decoders.lstm import LstmDecoder
from asrkit.models.decoders.recurrent import StackedLstmDecoder
from asrkit.nn.lstm import lstm_step, run_lstm
from asrkit.nn.recurrent import BidirectionalLstm
from asrkit.nn.zoneout import Zoneout
from asrkit.text.vocabulary import Vocabulary

LAYER = nn.LSTM(4, 8, batch_first=True)
LENGTHS = torch.tensor([5, 3])


def zeros(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.zeros(2, 8, dtype=dtype), torch.zeros(2, 8, dtype=dtype)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: run_lstm(LAYER, x)[0],
        lambda x: lstm_step(LAYER, x[:, 0], zeros(x.dtype))[1],
        lambda x: lstm_step(nn.LSTMCell(4, 8), x[:, 0], zeros(x.dtype))[1],
        lambda x: BidirectionalLstm(4, 8)(x, LENGTHS),
        lambda x: Zoneout().run(LAYER, x, zeros(x.dtype))[1][1],
        lambda x: Zoneout(0.2, 0.1).run(LAYER, x, None)[0],
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(run: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 4).to(dtype)
    torch.manual_seed(0)
    right = run(x.float())
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(x)
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
    vocabulary, sizes = Vocabulary(["a", "b"]), {"embedding_dim": 4, "hidden_dim": 6}
    labels, mask = torch.tensor([[0, 1]]), torch.ones(1, 3, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        StackedLstmDecoder(vocabulary, None, **sizes, num_layers=2)(labels, None, mask[:, :0])
        decoder = LstmDecoder(vocabulary, 5, **sizes, attention_dim=4, readout_dim=4)
        decoder(labels, torch.randn(1, 3, 5), mask)
        BidirectionalLstm(5, 6)(torch.randn(1, 3, 5), torch.tensor([3]))
