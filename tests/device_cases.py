"""Training and searches on a device that refuses tensors of the CPU; `device_test.py` starts this.

With ASRKIT_DEVICE=cuda that is a GPU, else a simulated one, which PyTorch gets for good: this is a
process of its own. By hand: ASRKIT_DEVICE=cuda pytest tests/device_cases.py
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from asrkit.experiment import load_spec
from asrkit.experiment.align_labels import best_spans
from asrkit.experiment.decode_spec import searches_of
from asrkit.experiment.pictures import DevPictures
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.ctc import CtcHead
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.scorers.interfaces import Hypothesis
from asrkit.text.tokenizers import Tokenizer
from tests.recipes_test import RECIPES, SPECS
from tests.small_recipes import (
    CPU,
    VOCABULARY,
    Source,
    all_searches,
    base_of,
    batch_for,
    decoded,
    distinct,
    make,
    make_trainer,
)

if os.environ.get("ASRKIT_DEVICE") == "cuda":
    DEVICE = torch.device("cuda", 0)
    torch.backends.cudnn.allow_tf32 = False  # which has three digits
else:
    from tests.simulated_device import DEVICE
CLOSE = 1e-3 if DEVICE.type == "cuda" else 1e-4
LATE = 10**6
"""A step by which augmentation has its full strength."""


class Letters(Tokenizer):
    """Writes labels as they are called."""

    vocabulary = VOCABULARY

    def encode(self, text: str) -> list[int]:
        return [VOCABULARY.symbols.index(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(VOCABULARY.symbols[label] for label in ids)

    def unknown_in(self, text: str) -> list[str]:
        return []


@pytest.mark.parametrize("path", distinct(SPECS), ids=lambda path: "-".join(path.parts[-3:]))
def test_training_steps_stay_on_the_device(path: Path, tmp_path: Path) -> None:
    trainer = make_trainer(path, tmp_path, DEVICE)
    batch = next(trainer.train.batches(1))
    right = make_trainer(path, tmp_path, CPU).evaluate().objective()
    assert trainer.evaluate().objective() == pytest.approx(right, rel=CLOSE)
    trainer.step = LATE
    trainer.model.train()
    sums, norm = trainer.train_step([batch, batch])
    assert math.isfinite(norm)
    assert math.isfinite(sums.objective())
    trainer.save(dev=None)
    again = make_trainer(path, tmp_path, DEVICE)
    again.restore()
    assert again.evaluate().objective() == pytest.approx(trainer.evaluate().objective(), rel=CLOSE)
    moved = {str(p.device) for p in (*again.model.parameters(), *again.model.buffers())}
    assert moved == {str(DEVICE)}


@pytest.mark.skipif(DEVICE.type == "cuda", reason="counts on the simulated device only")
@pytest.mark.parametrize("name", ["librispeech/conf/base", "switchboard/conf/rna-orig"])
def test_the_cpu_does_not_wait_for_every_layer(name: str, tmp_path: Path) -> None:
    from tests.simulated_device import waits

    counts = []
    for layers in (1, 3):
        path = RECIPES / f"{name}.yaml"
        model = make(path, layers).to(DEVICE)
        batch = batch_for(model).to(DEVICE)
        waits.clear()
        report = model(batch, 0)
        torch.stack([part.total for part in report.values() if part.weight]).sum().backward()
        counts.append(sum(waits.values()))
    assert counts[0] == counts[1], waits


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.ones(3)[x.long()],
        lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
        lambda x: x.index_put_((torch.tensor([0]),), torch.ones(1)),
        lambda x: torch.rand(3, device=DEVICE, generator=torch.Generator()),
        lambda x: x.numpy(),
    ],
)
def test_the_device_refuses_what_a_gpu_refuses(mix: Callable[[Tensor], Any]) -> None:
    x = torch.ones(3, device=DEVICE)
    with pytest.raises((RuntimeError, TypeError), match="(?i)cpu|numpy"):
        mix(x)
    assert (x + torch.tensor(1.0))[torch.tensor([0, 1])].tolist() == [2.0, 2.0]


def assert_alike(found: list[list[Hypothesis]], right: list[list[Hypothesis]]) -> None:
    for some, others in zip(found, right, strict=True):
        assert others, "a search that finds nothing tells nothing"
        scores = [[each.score for each in hypotheses] for hypotheses in (some, others)]
        assert scores[0] == pytest.approx(scores[1], rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize(("base", "node"), all_searches())
def test_searches_stay_on_the_device(base: Path, node: Any) -> None:
    assert_alike(decoded(base, node, DEVICE), decoded(base, node, CPU))


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("librispeech/conf/decode/base", "opls_lm_ilm"),
        ("tedlium2/conf/decode/base", "tsbs"),
        ("an4/conf/decode/table", "optsr_lm_mini"),
    ],
)
def test_searches_held_to_references_stay_on_the_device(name: str, search: str) -> None:
    path = RECIPES / f"{name}.yaml"
    node = searches_of(load_spec(path))[search].node
    base = base_of(path)
    references = [[1, 2], [3], []]
    assert_alike(*(decoded(base, node, device, references) for device in (DEVICE, CPU)))


@pytest.mark.parametrize("name", ["librispeech/conf/mini", "an4/conf/rnnt", "an4/conf/rna_stage2"])
def test_alignments_and_pictures_stay_on_the_device(name: str, tmp_path: Path) -> None:
    model = make(RECIPES / f"{name}.yaml").to(DEVICE).eval()
    assert isinstance(model, AsrModel)
    batch = batch_for(model)
    moved = batch.to(DEVICE)
    with torch.inference_mode():
        encoded = model.encode(moved.signal, moved.signal_lengths)
        for head in model.named_heads().values():
            if isinstance(head, CtcHead) or (
                isinstance(head, TransducerHead) and not head.criterion.given_alignments
            ):
                best = best_spans(head, encoded, moved.labels, moved.label_lengths)
                assert [len(each.spans) for each in best] == batch.label_lengths.tolist()
    writer = SummaryWriter(str(tmp_path))
    DevPictures(Letters(), Source(batch))(model, writer, 1)
    writer.close()
