"""Lattice-free MMI: the head of a hybrid model that is trained on whole utterances of phones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from asrkit.data.batch import Batch
from asrkit.data.frame_targets import PADDING, FrameTargets
from asrkit.losses.mmi import Chunk
from asrkit.losses.mmi_graphs import Denominator, Numerator, NumeratorCompiler, ring
from asrkit.losses.said_graphs import SaidGraph, stand_in
from asrkit.losses.sequence_criteria import Competition, Mmi, SequenceCriterion
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    heads,
    require_share,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.applied import Applied
from asrkit.nn.dropout import Dropout
from asrkit.scorers.interfaces import FrameScores
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

log = logging.getLogger(__name__)
Graphs = Callable[[Sequence[int]], SaidGraph | None]
"""Makes the graphs of labels; None where these have no pronunciation."""
MEASURED = 30_000
"""Frames of features of which it is counted how many an encoder makes."""


@heads.register("lf_mmi")
class LfMmiHead(Head):
    """Scores tied states such that what was said is likelier than all else that phones can say.

    It is trained on the tied states and the phone n-gram that `asrkit chain` makes. Its scores are
    searched as they are: weight about 1, no prior.

    Args:
        encoder: Whose frames are scored; three frames of 10 ms each are usual.
        vocabulary: Not needed.
        weight: Of the loss in the training objective.
        states: S, number of outputs: at least as many as there are tied states.
        cross_entropy: Factor of the cross-entropy of a second output on what was said; 0 for none.
        l2: Half of it times the square of each score is added to the loss.
        leak: Probability of moving to any history of the phone n-gram before a frame.
        tolerance: Frames of features that phones may begin earlier and end later than aligned; null
            where they may be anywhere and nothing is aligned ("flat start").
        chunk: Most frames that are summed over at a time; whole utterances where null, as they must
            be without alignments.
        hidden: Size of a layer before each output, with ReLU and normalisation; none where null.
        tap: Block, counted from 1, whose output is read; the last where null.
        dropout: Before the outputs.
        criterion: What its scores are trained for.

    Raises:
        ValueError: If the encoder has no such tap, or a number is impossible.

    Source: Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on
        lattice-free MMI"; factors of Kaldi's egs/mini_librispeech/s5. Without alignments: Hadian et
        al. 2018, "End-to-end speech recognition using lattice-free MMI".
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        states: int,
        cross_entropy: float = 0.1,
        l2: float = 5e-5,
        leak: float = 0.1,
        tolerance: int | None = 5,
        chunk: int | None = 50,
        hidden: int | None = None,
        tap: int | None = None,
        dropout: float = 0.0,
        criterion: SequenceCriterion = Mmi(),  # noqa: B008 - never changed
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        require_weight(weight)
        require_share("leak", leak)
        _require_numbers(states, cross_entropy, l2, tolerance, chunk)
        self.weight, self.tap, self.cross_entropy, self.l2 = weight, tap, cross_entropy, l2
        self.applied = Applied()
        self.leak, self.tolerance, self.chunk = leak, tolerance, chunk
        self.criterion = criterion
        # On the CPU, wherever the model is made: this is about sizes only.
        measured = torch.tensor([MEASURED], device="cpu")
        self.step = round(MEASURED / int(encoder.output_lengths(measured)[0]))
        self.outputs = Outputs.states(states)
        self.state_targets = FrameTargets(self.outputs, rate="features")
        self.given_targets = None if tolerance is None else self.state_targets
        self.output = _branch(encoder.dim, hidden, states, dropout)
        self.second = _branch(encoder.dim, hidden, states, dropout) if cross_entropy else None
        last = self.output[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)  # all paths are alike at first
        self.against: Competition | None = None
        self._compiler: NumeratorCompiler | None = None
        self._graphs: Graphs | None = None
        self._told: set[str] = set()

    def learn_from(
        self,
        denominator: Denominator,
        graphs: Graphs | None = None,
        silence: Collection[int] = (),
    ) -> None:
        """Sets what can be said.

        Args:
            denominator: All of it.
            graphs: What is said by labels, where nothing is aligned.
            silence: Phones of silence and noise.

        Raises:
            ValueError: If it has more tied states than there are outputs.
        """
        if denominator.num_states > len(self.outputs):
            raise ValueError(
                f"states ({len(self.outputs)}) must be at least as many as the alignments have: "
                f"{denominator.num_states}"
            )
        self.against = Competition(denominator, self.leak, silence)
        self._compiler = NumeratorCompiler(denominator, self.step, self.tolerance or 0)
        self._graphs = graphs

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns losses per frame, and the share of chunks without path.

        Those have no path whose phones are more than their frames, or which say what the phone
        n-gram can't: they count as 0, and the log names their utterances once.
        """
        if self.against is None or self._compiler is None:
            # Only where a model is tried without data, of whose utterances nothing need be said.
            self.learn_from(ring(len(self.outputs)), lambda labels: stand_in())
            self._told.update(batch.ids)
        assert self.against is not None
        frames, owners, lengths, chunks = self._chunks(encoded, batch)
        scores = self.output(frames).float()  # (B', T', S)
        judged = self.criterion(scores, lengths, chunks, self.against)
        losses, said = judged.losses, judged.said  # (B',), (B', T', S)
        said_frames = said.sum(2) > 0.5  # (B', T') valid, and of chunks with a path
        count, found = int(said_frames.sum()), said_frames.any(1)
        self._tell([batch.ids[i] for i, one in zip(owners.tolist(), found, strict=True) if not one])
        squares = 0.5 * self.l2 * (scores.square().sum(2) * said_frames).sum(1)  # (B',)
        if self.training and self.l2:
            self.applied.count("l2_loss", squares.detach().sum(), (losses + squares).detach().sum())
        each = losses.detach().new_zeros(len(batch)).index_add(0, owners, losses.detach())
        report = {
            "loss": LossPart((losses + squares).sum(), count, self.weight, each),
            "no_path": LossPart((~found).sum().float(), len(found), 0.0),
        }
        for name, values in judged.statistics.items():
            report[name] = LossPart(values.sum(), count, 0.0)
        if self.second is not None:
            logs = self.second(frames).float().log_softmax(2)  # (B', T', S)
            weight = self.weight * self.cross_entropy
            report["cross_entropy"] = LossPart(-(said * logs).sum(), count, weight)
        return report

    def state_scores(self, encoded: Encoded) -> FrameScores:
        """Returns scores (B, T, S) of encoder frames, which are likelihoods up to a constant."""
        return FrameScores(self.output(encoded.at(self.tap)).float(), encoded.lengths)

    def _chunks(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Tensor, Tensor, list[Chunk]]:
        """Returns frames (B', T', D), their utterances and lengths (B',), and what was said."""
        x, chunks = encoded.at(self.tap), list[Chunk]()  # (B, T, D)
        owners, begins, sizes = list[int](), list[int](), list[int]()
        every = self._said(batch, encoded.lengths.tolist())
        for place, length in enumerate(encoded.lengths.tolist()):
            parts = 1 if self.chunk is None else -(-length // self.chunk)
            bounds = [length * part // parts for part in range(parts + 1)]
            for begin, end in pairwise(bounds):
                owners.append(place)
                begins.append(begin)
                sizes.append(end - begin)
                chunks.append(Chunk(every[place], begin))
        whose, lengths = (torch.tensor(values, device=x.device) for values in (owners, sizes))
        first = torch.tensor(begins, device=x.device)
        places = first[:, None] + torch.arange(max(sizes), device=x.device)  # (B', T')
        return x[whose[:, None], places.clamp(max=x.shape[1] - 1)], whose, lengths, chunks

    def _said(self, batch: Batch, lengths: Sequence[int]) -> Sequence[Numerator | SaidGraph | None]:
        """Returns what was said in utterances of so many frames."""
        if self.tolerance is None:
            assert self._graphs is not None
            pairs = zip(batch.labels.tolist(), batch.label_lengths.tolist(), strict=True)
            return [self._graphs(labels[:count]) for labels, count in pairs]
        assert batch.alignment is not None, "phones are known by given alignments"
        assert self._compiler is not None
        symbols = batch.alignment.cpu().numpy().astype(np.int32)
        return [
            self._compiler(own[own != PADDING], length)
            for own, length in zip(symbols, lengths, strict=True)
        ]

    def _tell(self, names: list[str]) -> None:
        """Names utterances once, of which a part has no path."""
        new = sorted(set(names) - self._told)
        self._told.update(new)
        if new:
            log.warning(
                "a part of %d utterances can't be learnt from, as the phone n-gram does not know "
                "their phones or they have too few frames: %s",
                len(new), ", ".join(new),
            )  # fmt: skip


def _branch(dim: int, hidden: int | None, states: int, dropout: float) -> nn.Sequential:
    """Returns the layers of an output."""
    if hidden is None:
        return nn.Sequential(Dropout(dropout), nn.Linear(dim, states))
    return nn.Sequential(
        nn.Linear(dim, hidden),
        nn.ReLU(),
        nn.LayerNorm(hidden),
        Dropout(dropout),
        nn.Linear(hidden, states),
    )


def _require_numbers(
    states: int, cross_entropy: float, l2: float, tolerance: int | None, chunk: int | None
) -> None:
    if states < 2:
        raise ValueError(f"states ({states}) must be at least 2")
    if tolerance is None and chunk is not None:
        raise ValueError(f"chunk ({chunk}) must be null where tolerance is: nothing is aligned")
    for name, value in (("cross_entropy", cross_entropy), ("l2", l2), ("tolerance", tolerance)):
        if value is not None and value < 0:
            raise ValueError(f"{name} ({value}) must be at least 0")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk ({chunk}) must be at least 1")
