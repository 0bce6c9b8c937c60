"""Transducers whose frames see their neighbours, and those that know the alignment so far."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.build import build
from asrkit.config.problems import SpecError
from asrkit.config.registry import Factory, import_all
from asrkit.data.batch import Batch
from asrkit.errors import UserError
from asrkit.lattice.alignments import aligned_labels
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.losses.symbols import SigmoidBlank
from asrkit.models.heads.transducer.criteria import Criterion, FullSum, GivenAlignment
from asrkit.models.heads.transducer.fast_rnns import FastLstm, FastRnn, NoFastRnn
from asrkit.models.heads.transducer.frame_contexts import FrameContext, WindowAttention
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.heads.transducer.label_rnns import LabelLstm, LabelRnn, NoLabelRnn
from asrkit.models.heads.transducer.parts import HeadInput, JoinerSettings
from asrkit.models.interfaces import Encoded, Head
from asrkit.models.predictors.lstm import LstmPredictor
from asrkit.models.predictors.stateless import StatelessPredictor
from asrkit.nn.readouts import MaxoutReadout
from asrkit.search.transducer import TransducerSearch
from asrkit.text.outputs import Outputs
from tests.models.heads.ctc_test import LABEL_LENGTHS, LABELS, LENGTHS, VOCABULARY, TwoBlocks
from tests.models.heads.transducer_test import eight_utterances

import_all()
V = len(VOCABULARY)
WINDOW: Factory[FrameContext] = partial(
    WindowAttention, window=3, key_dim=4, dropout=0.05, weight_dropout=0.02
)
FAST: Factory[FastRnn] = partial(FastLstm, hidden_dim=6, embedding_dim=3, dropout=0.05)
EMITTING: Factory[FastRnn] = partial(FAST, decides_blank=True, zoneout_cell=0.1)
LABEL: Factory[LabelRnn] = partial(LabelLstm, hidden_dim=6, dropout=0.05, zoneout_cell=0.1)
TOPOLOGIES = pytest.mark.parametrize("topology", [RnaTopology(), CtcTopology()])


def make(
    topology: Topology,
    fast: Factory[FastRnn] = NoFastRnn,
    criterion: Criterion | None = None,
    bottleneck_dim: int | None = 3,
    label_rnn: Factory[LabelRnn] = NoLabelRnn,
) -> TransducerHead:
    torch.manual_seed(0)
    predictor = partial(
        LstmPredictor, embedding_dim=5, hidden_dim=7, dropout=0.02, zoneout_output=0.1
    )
    summed = fast is NoFastRnn and label_rnn is NoLabelRnn
    return TransducerHead(
        TwoBlocks(),
        VOCABULARY,
        weight=0.7,
        topology=topology,
        predictor=predictor,
        joiner=JoinerSettings(8, MaxoutReadout(), SigmoidBlank(), dropout=0.02),
        input=HeadInput(bottleneck_dim=bottleneck_dim, context=WINDOW),
        label_rnn=label_rnn,
        fast=fast,
        criterion=criterion or (FullSum() if summed else GivenAlignment()),
    ).eval()


def encoded(lengths: Tensor = LENGTHS) -> Encoded:
    torch.manual_seed(1)
    return Encoded(torch.randn(len(lengths), int(lengths.max()), 4), lengths)


def path_scores(head: TransducerHead, seen: Encoded, symbols: Tensor) -> Tensor:
    """Returns the log-probabilities (B,) of alignments (B, T), -1 in the padding."""
    said = head.blank.log_probs(head.path_logits(seen, symbols))
    picked = said.gather(2, symbols.clamp(min=0)[..., None])[..., 0]
    return picked.where(symbols >= 0, 0.0).sum(1)


@TOPOLOGIES
def test_a_path_through_the_lattice_scores_what_the_alignment_says(topology: Topology) -> None:
    head, seen = make(topology), encoded()
    with torch.no_grad():
        found = head.align(seen, LABELS, LABEL_LENGTHS)
        scores = path_scores(head, seen, found.symbols)
    fits = found.log_probs.isfinite()
    assert fits.tolist() == [True, topology.symbols == 2, True]
    torch.testing.assert_close(scores[fits].double(), found.log_probs[fits].double())


@pytest.mark.parametrize("fast", [FAST, EMITTING], ids=["plain", "emitting"])
def test_steps_give_what_whole_alignments_give(fast: Factory[FastRnn]) -> None:
    torch.manual_seed(0)
    network = fast(
        outputs=Outputs.labels_with_blank(VOCABULARY), frame_dim=4, predictor_dim=5
    ).eval()
    frames, predicted = torch.randn(3, 6, 4), torch.randn(3, 6, 5)
    symbols = torch.randint(0, V + 1, (3, 6))
    whole = network(frames, predicted, symbols)
    assert whole.shape == (3, 6, network.dim)
    state, last, outputs = network.begin(3), torch.full((3,), V), []
    for frame in range(6):
        output, state = network.step(state, frames[:, frame], predicted[:, frame], last)
        outputs.append(output)
        last = symbols[:, frame]
    torch.testing.assert_close(torch.stack(outputs, 1), whole)
    other = symbols.clone()
    other[:, 3] = (other[:, 3] + 1) % (V + 1)  # is read from frame 4 on
    changed = (network(frames, predicted, other) - whole).abs().amax((0, 2)) > 0
    assert changed.tolist() == [False] * 4 + [True] * 2


def strings(head: TransducerHead, seen: Encoded) -> dict[tuple[int, ...], list[float]]:
    """Returns the log-probabilities of all alignments of a single utterance by label string."""
    every = torch.tensor(list(itertools.product(range(V + 1), repeat=int(seen.lengths))))
    many = Encoded(seen.frames.expand(len(every), -1, -1), seen.lengths.expand(len(every)))
    spelt = aligned_labels(every, V, head.topology.symbols == 3)
    result: dict[tuple[int, ...], list[float]] = {}
    rows = zip(spelt.labels.tolist(), spelt.label_lengths.tolist(), strict=True)
    for (labels, size), score in zip(rows, path_scores(head, many, every).tolist(), strict=True):
        result.setdefault(tuple(labels[:size]), []).append(score)
    return result


def test_the_label_rnn_reads_the_frames_after_labels() -> None:
    head, seen = make(RnaTopology(), label_rnn=LABEL), encoded(torch.tensor([5]))
    reads: list[tuple[Tensor, Tensor]] = []
    forward = head.label_rnn.forward

    def read(predicted: Tensor, attended: Tensor) -> Tensor:
        reads.append((predicted, attended))
        return forward(predicted, attended)

    head.label_rnn.forward = read  # type: ignore[method-assign]
    frames, attended = head._frames(seen)
    found = head.path_logits(seen, torch.tensor([[V, 2, V, 0, V]]))
    torch.testing.assert_close(reads[0][1], attended[:, [0, 2, 4]])
    torch.testing.assert_close(reads[0][0], head.predictor(torch.tensor([[2, 0]])))
    said = forward(*reads[0])[:, [0, 0, 1, 1, 2]]
    contexts = head._context_sums(attended)
    torch.testing.assert_close(found, head._sum_logits(frames, contexts, said))


@pytest.mark.parametrize("fast", [NoFastRnn, FAST], ids=["none", "plain"])
def test_the_internal_lm_of_a_label_rnn_hears_nothing(fast: Factory[FastRnn]) -> None:
    head = make(RnaTopology(), fast, label_rnn=LABEL)
    seen = Encoded(torch.zeros(1, 4, 4), torch.tensor([4]))
    labels = torch.tensor([[2, 0, 1]])
    with torch.no_grad():
        silent = torch.zeros(1, 4, head.context.dim)
        said = head.label_rnn(head.predictor(labels), silent)
        expected = head.logits(head.project_labels(said))[0, :, :-1].log_softmax(1)
        scorer, state = head.internal_lm(seen), head.internal_lm(seen).initial_state()
        for place, label in enumerate([*labels[0], None]):
            torch.testing.assert_close(scorer.score(state)[0, :V], expected[place])
            if label is not None:
                state = scorer.advance(state, label[None])


READERS = pytest.mark.parametrize(
    ("fast", "label_rnn"),
    [
        (NoFastRnn, NoLabelRnn),
        (FAST, NoLabelRnn),
        (EMITTING, NoLabelRnn),
        (NoFastRnn, LABEL),
        (FAST, LABEL),
    ],
    ids=["none", "fast", "emitting", "label", "both"],
)


@TOPOLOGIES
@READERS
def test_wide_beams_equal_enumeration(
    topology: Topology, fast: Factory[FastRnn], label_rnn: Factory[LabelRnn]
) -> None:
    head, seen = make(topology, fast, label_rnn=label_rnn), encoded(torch.tensor([4]))
    with torch.no_grad():
        exact = strings(head, seen)
        (n_best,) = TransducerSearch(300, recombination="none").over(heads(head)).run(seen)
    assert {tuple(h.labels) for h in n_best} == exact.keys()
    for hypothesis in n_best:
        wanted = math.log(sum(map(math.exp, exact[tuple(hypothesis.labels)])))
        assert hypothesis.score == pytest.approx(wanted, abs=1e-4)


def heads(head: TransducerHead) -> dict[str, Any]:
    return {"transducer": head}


def test_recombined_hypotheses_go_on_from_the_better_state() -> None:
    """Of two alignments with the same labels, the less probable is forgotten after each frame."""
    head, seen = make(RnaTopology(), FAST), encoded(torch.tensor([4]))
    best: dict[tuple[int, ...], tuple[float, list[int]]] = {(): (0.0, [])}
    with torch.no_grad():
        for frame in range(4):
            part = Encoded(seen.frames, torch.tensor([4]))
            after: dict[tuple[int, ...], tuple[float, list[int]]] = {}
            for labels, (_, path) in best.items():
                for symbol in range(V + 1):
                    new = [*path, symbol]
                    row = torch.tensor([new + [-1] * (3 - frame)])
                    score = float(path_scores(head, part, row))
                    key = labels if symbol == V else (*labels, symbol)
                    after[key] = max(after.get(key, (-math.inf, [])), (score, new))
            best = after
        (n_best,) = TransducerSearch(500, recombination="max").over(heads(head)).run(seen)
    assert {tuple(h.labels) for h in n_best} == best.keys()
    for hypothesis in n_best:
        assert hypothesis.score == pytest.approx(best[tuple(hypothesis.labels)][0], abs=1e-4)


@TOPOLOGIES
@pytest.mark.parametrize("label_rnn", [NoLabelRnn, LABEL], ids=["fast", "both"])
@pytest.mark.parametrize("recombination", ["sum", "none"])
def test_a_batch_finds_what_single_utterances_find(
    topology: Topology, recombination: Any, label_rnn: Factory[LabelRnn]
) -> None:
    head, seen = make(topology, FAST, label_rnn=label_rnn), encoded()
    search = TransducerSearch(4, recombination=recombination)
    with torch.no_grad():
        together = search.over(heads(head)).run(seen)
        for row, length in enumerate(LENGTHS.tolist()):
            part = Encoded(seen.frames[row : row + 1, :length], LENGTHS[row : row + 1])
            (alone,) = search.over(heads(head)).run(part)
            assert [h.labels for h in alone] == [h.labels for h in together[row]]
            scores = [h.score for h in together[row]]
            assert [h.score for h in alone] == pytest.approx(scores, abs=1e-4)


def aligned_batch(alignment: Tensor | None) -> Batch:
    return Batch(
        ["a", "b", "c"], torch.zeros(3, 5), LENGTHS, LABELS, LABEL_LENGTHS, alignment=alignment
    )


ALIGNMENT = torch.tensor([[0, V, 1, V, 0], [2, 2, 2, -1, -1], [V, 1, V, -1, -1]])


@pytest.mark.parametrize("fast", [NoFastRnn, FAST], ids=["none", "plain"])
def test_the_loss_of_an_alignment_is_its_cross_entropy(fast: Factory[FastRnn]) -> None:
    head, seen = make(RnaTopology(), fast, GivenAlignment()), encoded()
    report = head.loss(seen, aligned_batch(ALIGNMENT))
    loss, errors = report["loss"], report["errors"]
    expected = -path_scores(head, seen, ALIGNMENT)
    assert loss.per_utterance is not None
    torch.testing.assert_close(loss.per_utterance, expected)
    torch.testing.assert_close(loss.total, expected.sum())
    assert (loss.count, loss.weight, errors.count) == (11, 0.7, 11)
    guessed = head.path_logits(seen, ALIGNMENT)
    assert 0 <= float(errors.total) <= 11
    wrong = head.blank.log_probs(guessed).argmax(2) != ALIGNMENT
    assert float(errors.total) == int((wrong & (ALIGNMENT >= 0)).sum())
    head.criterion = GivenAlignment(focal=2.0)
    focal = head.loss(seen, aligned_batch(ALIGNMENT))["loss"].total
    assert 0 < float(focal.detach()) < float(loss.total.detach())


def test_missing_and_foreign_alignments_are_named() -> None:
    head = make(RnaTopology(), FAST)
    with pytest.raises(UserError, match="utterance a: expected an alignment, got labels only"):
        head.loss(encoded(), aligned_batch(None))
    with pytest.raises(UserError, match="has 4 frames, the encoder gives 5"):
        head.loss(encoded(), aligned_batch(ALIGNMENT[:, :4]))
    with pytest.raises(UserError, match=r"fast \(FastLstm\) can't align"):
        head.align(encoded(), LABELS, LABEL_LENGTHS)
    with pytest.raises(UserError, match=r"label_rnn \(LabelLstm\) can't align"):
        make(RnaTopology(), label_rnn=LABEL).align(encoded(), LABELS, LABEL_LENGTHS)


class Parts:
    def __init__(self, head: Factory[Head]) -> None:
        self.head = head


def built(**changes: Any) -> Head:
    spec = {
        "type": "transducer",
        "weight": 1.0,
        "topology": "rna",
        "predictor": {"type": "lstm", "embedding_dim": 3, "hidden_dim": 4, "switchout": 0.1},
        "joiner": {"dim": 6},
        "input": {
            "bottleneck_dim": 3,
            "context": {"type": "window_attention", "window": 5, "key_dim": 2},
        },
        "fast": {"type": "lstm", "hidden_dim": 4, "embedding_dim": 3, "switchout": 0.05},
        "criterion": {"type": "alignment", "focal": 2.0},
    }
    parts = build(Parts, {"head": {**spec, **changes}})
    return parts.head(encoder=TwoBlocks(), vocabulary=VOCABULARY)


def test_what_can_not_be_summed_is_refused_when_it_is_built() -> None:
    assert isinstance(built(), TransducerHead)
    assert isinstance(built(fast="none", criterion="full_sum"), TransducerHead)
    with pytest.raises(SpecError, match="head: .*alignments can't be summed; expected criterion"):
        built(criterion="full_sum")
    label_rnn = {"type": "lstm", "hidden_dim": 4}
    assert isinstance(built(label_rnn=label_rnn), TransducerHead)
    with pytest.raises(SpecError, match=r"label_rnn \(LabelLstm\) depends on the alignment"):
        built(fast="none", label_rnn=label_rnn, criterion="full_sum")
    with pytest.raises(SpecError, match="label_rnn reads the context of frames, but they have non"):
        built(input={"context": "none"}, label_rnn=label_rnn)
    for fast in ("none", {"type": "lstm", "hidden_dim": 4, "embedding_dim": 3}):
        with pytest.raises(SpecError, match=r"\(RnntTopology\) lets a frame have several"):
            built(topology="rnnt", fast=fast)
    with pytest.raises(SpecError, match=r"bottleneck_dim \(0\)"):
        built(input={"bottleneck_dim": 0})
    with pytest.raises(SpecError, match=r"focal \(-1.0\)"):
        built(criterion={"type": "alignment", "focal": -1})


def learn(head: TransducerHead, batch: Batch, frames: Tensor, lengths: Tensor) -> Encoded:
    """Trains a head with an encoder of two layers; returns what that gives in the end."""
    lift = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    optimizer = torch.optim.Adam([*head.parameters(), *lift.parameters()], lr=0.02)
    head.train()
    for _ in range(120):
        optimizer.zero_grad()
        head.loss(Encoded(lift(frames), lengths), batch)["loss"].total.backward()
        optimizer.step()
    head.eval()
    with torch.no_grad():
        return Encoded(lift(frames), lengths)


@pytest.mark.parametrize("topology", [RnaTopology(), RnntTopology()])
def test_eight_utterances_are_learnt_with_window_attention(topology: Topology) -> None:
    frames, lengths, labels, sizes = eight_utterances()
    lengths = torch.maximum(lengths, topology.min_frames(labels, sizes))
    head = make(topology, bottleneck_dim=None)
    batch = Batch(list("abcdefgh"), torch.zeros(8, 6), lengths, labels, sizes)
    seen = learn(head, batch, frames, lengths)
    with torch.no_grad():
        found = TransducerSearch(4).over(heads(head)).run(seen)
    for row, n_best in enumerate(found):
        assert n_best[0].labels == labels[row, : sizes[row]].tolist()


@TOPOLOGIES
def test_eight_alignments_are_learnt_with_a_fast_rnn(topology: Topology) -> None:
    frames, lengths, labels, sizes = eight_utterances()
    lengths = torch.maximum(lengths, topology.min_frames(labels, sizes))
    with torch.no_grad():
        raw = Encoded(frames, lengths)
        symbols = make(topology).align(raw, labels, sizes).symbols
    head = make(topology, partial(FAST, hidden_dim=16, switchout=0.02), bottleneck_dim=None)
    batch = Batch(list("abcdefgh"), torch.zeros(8, 6), lengths, labels, sizes, symbols)
    seen = learn(head, batch, frames, lengths)
    with torch.no_grad():
        found = TransducerSearch(4).over(heads(head)).run(seen)
    for row, n_best in enumerate(found):
        assert n_best[0].labels == labels[row, : sizes[row]].tolist()


def test_switched_labels_change_predictions_in_training_alone() -> None:
    inputs = Outputs.labels_with_eos(VOCABULARY)
    lstm = LstmPredictor(inputs, 3, 4, dropout=0.0, switchout=0.5)
    stateless = StatelessPredictor(inputs, 4, dropout=0.0, switchout=0.5)
    for predictor in (lstm, stateless):
        torch.manual_seed(0)
        assert not predictor(LABELS).equal(predictor(LABELS))
        predictor.eval()
        assert predictor(LABELS).equal(predictor(LABELS))
