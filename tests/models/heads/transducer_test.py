"""The transducer head against the same from all logits, and learning by heart."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.experiment.align_labels import best_spans
from asrkit.lattice.cells import cell_targets
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank, SymbolDistribution
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.heads.transducer.parts import JoinerSettings
from asrkit.models.interfaces import Encoded
from asrkit.models.predictors.embedding import EmbeddingPredictor
from asrkit.models.predictors.interfaces import Predictor
from asrkit.models.predictors.lstm import LstmPredictor
from asrkit.models.predictors.stateless import StatelessPredictor
from asrkit.nn.readouts import MaxoutReadout, Readout, TanhReadout
from asrkit.search.transducer import TransducerSearch
from tests.models.heads.ctc_test import LABEL_LENGTHS, LABELS, LENGTHS, VOCABULARY, TwoBlocks

LSTM: Factory[Predictor] = partial(LstmPredictor, embedding_dim=6, hidden_dim=8, num_layers=2)
STATELESS: Factory[Predictor] = partial(StatelessPredictor, dim=6, context=2)
EMBEDDING: Factory[Predictor] = partial(EmbeddingPredictor, dim=6)
TOPOLOGIES = pytest.mark.parametrize("topology", [RnaTopology(), RnntTopology(), CtcTopology()])
PREDICTORS = pytest.mark.parametrize("predictor", [LSTM, STATELESS], ids=["lstm", "stateless"])
ALL_PREDICTORS = pytest.mark.parametrize("predictor", [LSTM, STATELESS, EMBEDDING])
BATCH = Batch(["a", "b", "c"], torch.zeros(3, 5), LENGTHS, LABELS, LABEL_LENGTHS)
V = len(VOCABULARY)


def make(
    topology: Topology,
    predictor: Factory[Predictor] = LSTM,
    readout: Readout | None = None,
    blank: SymbolDistribution | None = None,
) -> TransducerHead:
    torch.manual_seed(0)
    return TransducerHead(
        TwoBlocks(),
        VOCABULARY,
        weight=0.7,
        topology=topology,
        predictor=predictor,
        joiner=JoinerSettings(8, readout or TanhReadout(), blank or SoftmaxBlank()),
    ).eval()


def encoded(rows: list[int] | None = None) -> Encoded:
    torch.manual_seed(1)
    chosen = rows or [0, 1, 2]
    return Encoded(torch.randn(3, 5, 4)[chosen].requires_grad_(), LENGTHS[chosen])


@TOPOLOGIES
@PREDICTORS
@pytest.mark.parametrize(
    ("readout", "blank"), [(TanhReadout(), SoftmaxBlank()), (MaxoutReadout(), SigmoidBlank())]
)
def test_loss_is_the_full_sum_over_all_logits(
    topology: Topology, predictor: Factory[Predictor], readout: Readout, blank: SymbolDistribution
) -> None:
    head, seen = make(topology, predictor, readout, blank), encoded()
    sums = (
        head.frame_projection(seen.frames)[:, :, None]
        + head.label_projection(head.predictor(LABELS))[:, None]
    )
    logits = head.output(head.readout(sums))
    torch.testing.assert_close(head.blank.log_probs(logits).exp().sum(3), torch.ones(3, 5, 4))
    targets = cell_targets(LABELS, LABEL_LENGTHS, topology)[:, :, None]
    scores = head.blank.scores(logits, targets.expand(-1, *logits.shape[:3]))[0]
    expected = full_sum_loss(scores, LABELS, LENGTHS, LABEL_LENGTHS, topology)
    fits = expected.isfinite()
    report = head.loss(seen, BATCH)
    loss, infeasible = report["loss"], report["infeasible"]
    assert loss.per_utterance is not None
    torch.testing.assert_close(loss.per_utterance, expected)
    torch.testing.assert_close(loss.total, expected[fits].sum())
    assert (loss.count, loss.weight) == (7, 0.7)
    assert (float(infeasible.total), infeasible.count) == (float((~fits).sum()), 3)
    assert fits.tolist() == [True, topology.symbols == 2, True]
    (found,) = torch.autograd.grad(loss.total, seen.frames, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected[fits].sum(), seen.frames)
    torch.testing.assert_close(found, wanted)
    assert (found.abs().amax((1, 2)) > 0).tolist() == fits.tolist()


@ALL_PREDICTORS
def test_steps_give_what_whole_label_sequences_give(predictor: Factory[Predictor]) -> None:
    network = make(RnaTopology(), predictor).predictor
    whole = network(LABELS)
    assert whole.shape == (3, 4, network.dim)
    output, state = network.begin(3)
    outputs = [output]
    for labels in LABELS.unbind(1):
        output, state = network.step(state, labels)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), whole)


def test_dropout_of_labels_spares_blank_and_is_the_same_in_all_cells() -> None:
    torch.manual_seed(0)
    head = TransducerHead(
        TwoBlocks(),
        VOCABULARY,
        weight=1.0,
        topology=RnaTopology(),
        predictor=partial(EmbeddingPredictor, dim=6, dropout=0.0),
        joiner=JoinerSettings(8, TanhReadout(), SigmoidBlank(), dropout=0.0, label_dropout=0.5),
    )
    seen, weight = encoded(), head.output.weight
    torch.manual_seed(2)
    masked = head.label_mask(weight)
    factors = (masked / weight).detach()
    assert torch.equal(factors[-1], torch.ones(8))
    assert set(factors[:-1].flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(factors[:-1], factors[:1].expand(V, 8))
    states = head.label_projection(head.predictor(LABELS))
    sums = head.frame_projection(seen.frames)[:, :, None] + states[:, None]
    logits = head.readout(sums) @ masked.T + head.output.bias
    targets = cell_targets(LABELS, LABEL_LENGTHS, head.topology)[:, :, None]
    scores = head.blank.scores(logits, targets.expand(-1, *logits.shape[:3]))[0]
    expected = full_sum_loss(scores, LABELS, LENGTHS, LABEL_LENGTHS, head.topology)
    torch.manual_seed(2)
    loss = head.loss(seen, BATCH)["loss"].total
    torch.testing.assert_close(loss, expected[expected.isfinite()].sum())
    (wanted,) = torch.autograd.grad(expected[expected.isfinite()].sum(), weight)
    torch.testing.assert_close(torch.autograd.grad(loss, weight)[0], wanted)
    assert head.eval().label_mask(weight) is weight
    torch.testing.assert_close(head.logits(sums), head.output(head.readout(sums)))


@TOPOLOGIES
def test_search_scores_are_the_loss(topology: Topology) -> None:
    """With a wide beam the score of a found string is that of the loss."""
    head, seen = make(topology, blank=SigmoidBlank()), encoded([0])
    heads: dict[str, Any] = {"transducer": head}
    with torch.no_grad():
        (n_best,) = TransducerSearch(300, max_symbols=5).over(heads).run(seen)
        for hypothesis in n_best[:5]:
            labels = torch.tensor([hypothesis.labels], dtype=torch.int64)
            sizes = torch.tensor([len(hypothesis.labels)])
            batch = Batch(["a"], torch.zeros(1, 5), LENGTHS[:1], labels, sizes)
            exact = float(head.loss(seen, batch)["loss"].total)
            assert hypothesis.score == pytest.approx(-exact, abs=2e-2)


def test_the_internal_language_model_hears_nothing_and_knows_no_blank() -> None:
    head = make(RnaTopology())
    scorers = [head.internal_lm(Encoded(noise, LENGTHS)) for noise in torch.randn(2, 3, 5, 4)]
    labels = torch.tensor([0, 1, 2])
    states = [scorer.advance(scorer.initial_state(), labels) for scorer in scorers]
    scores = [scorer.score(state) for scorer, state in zip(scorers, states, strict=True)]
    torch.testing.assert_close(scores[0], scores[1])
    assert scores[0].shape == (3, V + 1)
    torch.testing.assert_close(scores[0][:, :V].exp().sum(1), torch.ones(3))
    assert scores[0][:, V].tolist() == [0.0, 0.0, 0.0]
    some = torch.tensor([[1], [0], [V]])
    torch.testing.assert_close(scorers[0].score(states[0], some), scores[1].gather(1, some))
    assert len(scorers[0].subset(torch.tensor([1])).initial_state()[0]) == 1


@TOPOLOGIES
def test_fewest_frames_are_those_of_the_loss(topology: Topology) -> None:
    head = make(topology)
    for labels in ([], [0], [0, 0], [0, 1, 0], [2, 2, 2]):
        need = max(head.min_frames(labels), 1)
        rows, sizes = torch.tensor([labels + [0] * (3 - len(labels))]), torch.tensor([len(labels)])
        for length in range(1, 6):
            batch = Batch(["a"], torch.zeros(1, 5), torch.tensor([length]), rows, sizes)
            seen = Encoded(torch.randn(1, 5, 4), torch.tensor([length]))
            report = head.loss(seen, batch)
            finite = math.isfinite(float(report["loss"].per_utterance[0]))  # type: ignore[index]
            assert finite == (length >= need)
            assert float(report["infeasible"].total) == float(length < need)


@TOPOLOGIES
def test_aligned_labels_have_their_frames_in_order(topology: Topology) -> None:
    head, seen = make(topology), encoded()
    with torch.no_grad():
        found = best_spans(head, seen, LABELS, LABEL_LENGTHS)
    for row, best in enumerate(found):
        spans = best.spans
        if math.isinf(best.log_prob):
            assert (row, topology.symbols) == (1, 3)
            continue
        assert len(spans) == LABEL_LENGTHS[row]
        assert all(0 <= start < end <= LENGTHS[row] for start, end in spans)
        steps = LENGTHS[row] + (LABEL_LENGTHS[row] if topology.labels_stay else 0)
        assert len(best.symbols) == steps
        if not topology.labels_stay:
            assert [best.symbols[start] for start, _ in spans] == labels_of(row)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def labels_of(row: int) -> list[int]:
    return LABELS[row, : LABEL_LENGTHS[row]].tolist()


def eight_utterances() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    frames = torch.randn(8, 6, 4)
    return frames, torch.randint(3, 7, (8,)), torch.randint(0, V, (8, 3)), torch.arange(8) % 4


@TOPOLOGIES
@PREDICTORS
def test_what_was_learnt_by_heart_is_found(
    topology: Topology, predictor: Factory[Predictor]
) -> None:
    frames, lengths, labels, sizes = eight_utterances()
    needed = topology.min_frames(labels, sizes)
    lengths = torch.maximum(lengths, needed)
    batch = Batch([str(i) for i in range(8)], torch.zeros(8, 6), lengths, labels, sizes)
    blank = SigmoidBlank(label_smoothing=0.05)
    head = make(topology, predictor, MaxoutReadout(), blank)
    lift = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    optimizer = torch.optim.Adam([*head.parameters(), *lift.parameters()], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(Encoded(lift(frames), lengths), batch)["loss"].total.backward()
        optimizer.step()
    heads: dict[str, Any] = {"transducer": head}
    with torch.no_grad():
        seen = Encoded(lift(frames), lengths)
        found = TransducerSearch(4).over(heads).run(seen)
        alignment = head.align(seen, labels, sizes)
    for row, n_best in enumerate(found):
        wanted = labels[row, : sizes[row]].tolist()
        assert n_best[0].labels == wanted
        said = alignment.label_frames[row, : sizes[row]].tolist()
        assert said == sorted(said)
        assert all(0 <= frame < lengths[row] for frame in said)
