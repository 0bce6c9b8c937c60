"""The transducer head with pruning: the same where windows are wide, and learning by heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.build import build, dry_build
from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.interfaces import Encoded, Head
from asrkit.models.predictors.lstm import LstmPredictor  # noqa: F401 - registers its name
from asrkit.search.transducer import TransducerSearch
from tests.models.heads.ctc_test import VOCABULARY, TwoBlocks


@dataclass(frozen=True)
class Holder:
    """A spec with a head alone."""

    head: Factory[Head]


TOPOLOGIES = pytest.mark.parametrize("topology", ["rnnt", "rna"])
V = len(VOCABULARY)


def tree(topology: str, pruning: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the YAML node of a head."""
    return {
        "type": "transducer",
        "weight": 0.7,
        "topology": topology,
        "predictor": {"type": "lstm", "embedding_dim": 6, "hidden_dim": 8, "dropout": 0.0},
        "joiner": {"dim": 16, "dropout": 0.0},
        "pruning": pruning,
    }


def make(topology: str, size: int | None) -> TransducerHead:
    """Returns a head that keeps so many label counts, or all of them."""
    pruning = size and {"type": "trivial_joiner", "range": size, "weight": 0.5}
    torch.manual_seed(0)
    spec = {"head": tree(topology, pruning or None)}
    factory = build(Holder, spec).head
    head = factory(encoder=TwoBlocks(), vocabulary=VOCABULARY)
    assert isinstance(head, TransducerHead)
    return head


def example() -> tuple[Tensor, Batch, Tensor]:
    """Returns frames, 8 utterances of up to 7 labels, and lengths; the last one does not fit."""
    torch.manual_seed(1)
    frames, labels = torch.randn(8, 9, 4), torch.randint(0, V, (8, 7))
    lengths = torch.tensor([9, 8, 7, 9, 8, 9, 5, 0])
    sizes = torch.tensor([7, 6, 5, 4, 3, 0, 5, 7])
    names = [str(row) for row in range(8)]
    return frames, Batch(names, torch.zeros(8, 9), lengths, labels, sizes), lengths


@TOPOLOGIES
def test_wide_windows_change_nothing(topology: str) -> None:
    frames, batch, lengths = example()
    plain, pruned = make(topology, None), make(topology, 8)
    pruned.load_state_dict(plain.state_dict(), strict=False)
    seen = [Encoded(frames.clone().requires_grad_(), lengths) for _ in range(2)]
    one, other = plain.loss(seen[0], batch), pruned.loss(seen[1], batch)
    assert list(one) == ["loss", "infeasible"]
    assert list(other) == ["loss", "simple", "infeasible"]
    for part in other.values():
        assert bool(part.total.isfinite())
    torch.testing.assert_close(one["loss"].per_utterance, other["loss"].per_utterance)
    assert (other["loss"].weight, other["simple"].weight) == (0.7, 0.5)
    assert other["loss"].count == other["simple"].count == 37
    assert float(other["infeasible"].total) == float(one["infeasible"].total) == 1.0
    for report in (one, other):
        report["loss"].total.backward()
    torch.testing.assert_close(seen[0].frames.grad, seen[1].frames.grad)


@TOPOLOGIES
def test_small_windows_bound_the_loss(topology: str) -> None:
    frames, batch, lengths = example()
    plain = make(topology, None)
    exact = plain.loss(Encoded(frames, lengths), batch)["loss"].per_utterance
    for size in (2, 4):
        pruned = make(topology, size)
        pruned.load_state_dict(plain.state_dict(), strict=False)
        bound = pruned.loss(Encoded(frames, lengths), batch)["loss"].per_utterance
        assert exact is not None
        assert bound is not None
        assert bound.isinf().tolist() == [False] * 7 + [True]
        assert bool((bound[:7] >= exact[:7] - 1e-5).all())
        if size == 2:
            assert float(bound[0]) > float(exact[0]) + 1e-3


@TOPOLOGIES
def test_padding_has_no_say(topology: str) -> None:
    frames, batch, lengths = example()
    head = make(topology, 3)
    dirty = torch.full((8, 11, 4), 50.0)
    for row, length in enumerate(lengths.tolist()):
        dirty[row, :length] = frames[row, :length]
    reports = [head.loss(Encoded(each, lengths), batch) for each in (frames, dirty)]
    for name in ("loss", "simple"):
        torch.testing.assert_close(reports[0][name].total, reports[1][name].total)
    # Frames that are never read must not reach the parameters either.
    gradients = []
    for report in reports:
        head.zero_grad()
        (report["loss"].total + report["simple"].total).backward()
        gradients.append([p.grad.clone() for p in head.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@TOPOLOGIES
def test_what_was_learnt_by_heart_within_windows_is_found(topology: str) -> None:
    frames, batch, _ = example()
    lengths = torch.tensor([9, 8, 7, 9, 8, 9, 7, 9])
    head = make(topology, 3)
    lift = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    optimizer = torch.optim.Adam([*head.parameters(), *lift.parameters()], lr=0.02)
    for _ in range(120):
        report = head.loss(Encoded(lift(frames), lengths), batch)
        optimizer.zero_grad()
        torch.stack([part.weight * part.total for part in report.values()]).sum().backward()
        optimizer.step()
    heads: dict[str, Any] = {"transducer": head.eval()}
    with torch.no_grad():
        seen = Encoded(lift(frames), lengths)
        found = TransducerSearch(4).over(heads).run(seen)
        pruned = float(head.loss(seen, batch)["loss"].total)
        head.pruning = None
        exact = float(head.loss(seen, batch)["loss"].total)
    wanted = [
        labels[:size]
        for labels, size in zip(batch.labels.tolist(), batch.label_lengths, strict=True)
    ]
    assert [n_best[0].labels for n_best in found] == wanted
    assert exact - 1e-4 <= pruned < exact + 1.0  # the windows keep what was learnt


@pytest.mark.parametrize(
    ("topology", "size", "weight", "message"),
    [
        ("ctc", 5, 0.5, "CtcTopology can't be pruned; use topology rnnt or rna"),
        ("rna", 1, 0.5, "a window of 1 label counts is too small"),
        ("rna", 5, 0.0, "weight (0.0) must be above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    topology: str, size: int, weight: float, message: str
) -> None:
    node = tree(topology, {"type": "trivial_joiner", "range": size, "weight": weight})
    problems = dry_build(Head, node, late={"encoder": TwoBlocks(), "vocabulary": VOCABULARY})
    assert len(problems) == 1
    assert problems[0].path == "pruning"
    assert message in problems[0].message
