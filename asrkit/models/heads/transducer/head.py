"""The transducer head: frames and labels meet in a joiner; the loss sums over all alignments."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.errors import UserError
from asrkit.lattice.alignments import aligned_labels
from asrkit.lattice.topologies import Topology
from asrkit.lattice.viterbi import Alignment
from asrkit.losses.joiner import Joiner
from asrkit.losses.joiner_loss import joiner_alignment, joiner_loss
from asrkit.losses.pruned_loss import pruned_joiner_loss
from asrkit.models.heads.transducer.alignment_scorer import AlignmentScorer
from asrkit.models.heads.transducer.criteria import Criterion, FullSum
from asrkit.models.heads.transducer.fast_rnns import FastRnn, NoFastRnn
from asrkit.models.heads.transducer.label_rnns import LabelRnn, NoLabelRnn
from asrkit.models.heads.transducer.label_scorers import TransducerLm, TransducerScorer
from asrkit.models.heads.transducer.parts import HeadInput, JoinerSettings
from asrkit.models.heads.transducer.pruning import Pruning
from asrkit.models.interfaces import Encoded, Encoder, Head, LossReport, heads, require_weight
from asrkit.models.predictors.interfaces import Predictor
from asrkit.models.taps import require_tap
from asrkit.nn.dropout import Dropout
from asrkit.nn.masking import length_mask
from asrkit.scorers.interfaces import Kind, SymbolScorer
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@heads.register("transducer")
class TransducerHead(Head):
    """Predicts labels or blank in every frame, given the labels before.

    Args:
        encoder: Whose frames are read.
        vocabulary: The V labels.
        weight: Of the loss in the training objective.
        topology: What may follow what in an alignment.
        predictor: What the labels so far say.
        joiner: How frames and predictor become probabilities.
        input: What is read of the encoder.
        label_rnn: What replaces the predictor's words in the joiner, and may depend on contexts.
        fast: What replaces the frame in the joiner, and may depend on the alignment so far.
        criterion: What is trained: all alignments of the labels, or given ones.
        pruning: Cheap loss by which most of the joiner's work is left out; none where null.

    Raises:
        ValueError: If the encoder has no such tap, or the criterion can't train the other parts.

    Source: Graves 2012, section 2; Zeyer et al. 2020 (topologies, blank apart, SlowRNN and
        FastRNN that read alignments).
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        topology: Topology,
        predictor: Factory[Predictor],
        joiner: JoinerSettings,
        input: HeadInput = HeadInput(),  # noqa: B008 - has no state
        label_rnn: Factory[LabelRnn] = NoLabelRnn,
        fast: Factory[FastRnn] = NoFastRnn,
        criterion: Criterion = FullSum(),  # noqa: B008 - has no state
        pruning: Factory[Pruning] | None = None,
    ) -> None:
        super().__init__()
        require_tap(encoder, input.tap)
        require_weight(weight)
        self.weight, self.tap = weight, input.tap
        self.topology, self.blank, self.criterion = topology, joiner.blank, criterion
        self.outputs = outputs = Outputs.labels_with_blank(vocabulary)
        targets = FrameTargets(outputs, topology.labels_repeat)
        self.aligned_targets = None if topology.labels_stay else targets
        self.given_targets = targets if criterion.given_alignments else None
        self.predictor = predictor(inputs=Outputs.labels_with_eos(vocabulary))
        self.dropout = Dropout(joiner.dropout, shareable=False)
        size = input.size(encoder.dim)
        self.bottleneck = input.bottleneck(encoder.dim)
        self.context = input.context(input_dim=size)
        # A context looks at the frames around, which a stream may not have yet.
        self.by_chunk: frozenset[Kind] = frozenset() if self.context.dim else frozenset({"symbols"})
        self.label_rnn = label_rnn(predictor_dim=self.predictor.dim, context_dim=self.context.dim)
        self.fast = fast(outputs=outputs, frame_dim=size, predictor_dim=self.label_rnn.dim)
        criterion.check(topology, self._alignment_reader(), pruned=pruning is not None)
        # One bias is enough; at the predictor it also belongs to the internal language model.
        self.frame_projection = nn.Linear(self.fast.dim, joiner.dim, bias=False)
        seen = self.context.dim
        self.context_projection = nn.Linear(seen, joiner.dim, bias=False) if seen else None
        self.label_projection = nn.Linear(self.label_rnn.dim, joiner.dim)
        self.readout = joiner.readout
        self.output, self.label_mask = joiner.output(len(outputs)), joiner.label_mask()
        self.pruning: Pruning | None = None
        if pruning is not None:
            sizes = {"frame_dim": encoder.dim, "state_dim": self.predictor.dim}
            self.pruning = pruning(**sizes, outputs=outputs, topology=topology)
        self.fast_blank = nn.Linear(self.fast.dim, 1) if self.fast.decides_blank else None

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss and the statistics of the criterion."""
        return self.criterion(self, encoded, batch)

    def align(self, encoded: Encoded, labels: Tensor, label_lengths: Tensor) -> Alignment:
        """Returns the best alignment of labels (B, U) with lengths (B,).

        Raises:
            UserError: If an RNN reads alignments.
        """
        reader = self._alignment_reader()
        if reader is not None:
            raise UserError(
                f"a transducer head with {reader} can't align: its scores depend on the "
                "alignment; align with the model that was trained on all alignments"
            )
        states = self._states(labels, label_lengths)
        return joiner_alignment(*self._inputs(encoded, states, labels, label_lengths))

    def symbol_scorer(self, encoded: Encoded) -> SymbolScorer:
        """Returns the frames' scores of symbols after any labels, for transducer search."""
        if self._alignment_reader() is None:
            return TransducerScorer(self, self.project(encoded), encoded.lengths, self.topology)
        frames, attended = self._frames(encoded)
        return AlignmentScorer(
            self.predictor,
            self.label_rnn,
            self.fast,
            lambda *parts: self.blank.log_probs(self._sum_logits(*parts)),
            frames,
            attended,
            self._context_sums(attended),
            encoded.lengths,
            self.topology,
            len(self.outputs),
        )

    def internal_lm(self, encoded: Encoded) -> TransducerLm:
        """Returns what the head says of next labels where frames and their contexts are zero.

        Source: Variani et al. 2020, section 3.2; Meng et al. 2021, section 3.
        """
        return TransducerLm(self, len(encoded.lengths))

    def min_frames(self, labels: list[int]) -> int:
        """Returns the frames that the topology needs."""
        row = torch.tensor([labels], dtype=torch.int64)
        return int(self.topology.min_frames(row, torch.tensor([len(labels)])))

    def project(self, encoded: Encoded) -> Tensor:
        """Returns the frames' part of the joiner's sum: (B, T, J)."""
        frames, attended = self._frames(encoded)
        projected: Tensor = self.frame_projection(self.dropout(frames))
        return projected + self._context_sums(attended)

    def project_labels(self, predicted: Tensor) -> Tensor:
        """Returns the labels' part of the joiner's sum: (..., J) from predictions (..., D)."""
        labels: Tensor = self.label_projection(self.dropout(predicted))
        return labels

    def logits(self, sums: Tensor) -> Tensor:
        """Returns unnormalised scores (..., V + 1), in single precision, of sums (..., J)."""
        weight = self.label_mask(self.output.weight)
        return F.linear(self.readout(sums), weight, self.output.bias).float()

    def path_logits(self, encoded: Encoded, symbols: Tensor) -> Tensor:
        """Returns logits along given alignments.

        Args:
            encoded: Of B utterances with T frames.
            symbols: (B, T) the alignments: labels, blank, -1 in the padding. The logits of a
                frame depend on the symbols before it.

        Returns:
            (B, T, V + 1), blank last.
        """
        spelt = aligned_labels(symbols, self.outputs.blank, self.topology.labels_repeat)
        frames, attended = self._frames(encoded)
        seen = _pick(attended, spelt.frames_after())
        predicted = _pick(self.label_rnn(self.predictor(spelt.labels), seen), spelt.before)
        known = symbols.masked_fill(symbols < 0, self.outputs.blank)
        fast = self.fast(frames, predicted, known)
        return self._sum_logits(fast, self._context_sums(attended), predicted)

    def full_sum_losses(self, encoded: Encoded, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """Returns the (B,) losses over all alignments by name, with their weights.

        With pruning there is its simple loss too, and the other sums over what it leaves.
        """
        states = self._states(batch.labels, batch.label_lengths)
        inputs = self._inputs(encoded, states, batch.labels, batch.label_lengths)
        if self.pruning is None:
            return {"loss": (joiner_loss(*inputs), self.weight)}
        given = (batch.labels, encoded.lengths, batch.label_lengths)
        simple, windows = self.pruning(encoded.at(self.tap), states, *given)
        pruned = pruned_joiner_loss(*inputs, windows)
        return {"loss": (pruned, self.weight), "simple": (simple, self.pruning.weight)}

    def _states(self, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Returns the predictor's (B, U + 1, D) after 0 to U labels."""
        known = labels.masked_fill(~length_mask(label_lengths, labels.shape[1]), 0)
        states: Tensor = self.predictor(known)
        return states

    def _inputs(
        self, encoded: Encoded, states: Tensor, labels: Tensor, label_lengths: Tensor
    ) -> tuple[Tensor, Tensor, Joiner, Tensor, Tensor, Tensor, Topology]:
        """Returns the arguments of the loss and of the alignment."""
        prediction = self.project_labels(states)
        weight = self.label_mask(self.output.weight)
        joiner = Joiner(weight, self.output.bias, self.blank, self.readout)
        frames, lengths = self.project(encoded), encoded.lengths
        return frames, prediction, joiner, labels, lengths, label_lengths, self.topology

    def _frames(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T, D) and their contexts (B, T, C)."""
        frames = self.bottleneck(encoded.at(self.tap))
        return frames, self.context(frames, length_mask(encoded.lengths, frames.shape[1]))

    def _context_sums(self, attended: Tensor) -> Tensor:
        """Returns the part of contexts (B, T, C) in the joiner's sum: (B, T, J or 1)."""
        if self.context_projection is None:
            return attended.new_zeros(*attended.shape[:2], 1)
        sums: Tensor = self.context_projection(self.dropout(attended))
        return sums

    def _sum_logits(self, fast: Tensor, contexts: Tensor, predicted: Tensor) -> Tensor:
        """Returns logits (..., V + 1) where each frame has its own labels before it."""
        sums = self.frame_projection(self.dropout(fast)) + contexts
        logits = self.logits(sums + self.project_labels(predicted))
        if self.fast_blank is None:
            return logits
        return torch.cat([logits[..., :-1], self.fast_blank(self.dropout(fast)).float()], -1)

    def _alignment_reader(self) -> str | None:
        """Returns the RNN whose outputs depend on the alignment so far, if there is one."""
        for key, network in (("fast", self.fast), ("label_rnn", self.label_rnn)):
            if network.needs_alignment:
                return f"{key} ({type(network).__name__})"
        return None


def _pick(x: Tensor, places: Tensor) -> Tensor:
    """Returns (B, N, D) of x (B, T, D) at places (B, N)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))
