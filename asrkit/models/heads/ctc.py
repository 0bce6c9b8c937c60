"""The CTC head: one linear layer, the CTC loss, and scorers for both kinds of search."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.bounds import refuse_below
from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.lattice.cells import frame_scores
from asrkit.lattice.greedy import greedy_labels
from asrkit.lattice.topologies import CtcTopology
from asrkit.lattice.viterbi import Alignment, best_alignment
from asrkit.losses.consistency import view_divergence
from asrkit.losses.ctc import Smoothed, ctc_loss, smoothed_ctc_loss
from asrkit.models.interfaces import (
    Encoded,
    Encoder,
    Head,
    LossPart,
    LossReport,
    Pictures,
    heads,
    require_share,
    require_weight,
)
from asrkit.models.taps import require_tap
from asrkit.nn.applied import Applied
from asrkit.nn.dropout import Dropout
from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.interfaces import FrameScores, Kind, LabelScorer
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary


@heads.register("ctc")
class CtcHead(Head):
    """Predicts a label or blank in every frame.

    Args:
        encoder: Whose frames are read.
        vocabulary: The V labels.
        weight: Of the loss in the training objective.
        tap: Block, counted from 1, whose output is read; the last where null.
        dropout: Before the linear layer.
        eos: Whether every transcript ends in a label of its own, end of sentence. Searches have no
            use for it there: for them its probability is blank's, unless the `ctc` scorer says
            `mask_eos: false`.
        unused_outputs: How many outputs come after blank that are never a label, but take
            probability: other toolkits also have end of sentence in this softmax.
        label_smoothing: Probability that the gradient takes from each symbol of a frame and gives
            to others, in training; the loss itself is not smoothed.
        smoothed: What gives and gets it: all `symbols`; `labels` among each other; or
            `labels_and_blank`, where labels also get a share of what blank has, which keeps it all.
        consistency: Factor of the divergence of two views of each utterance (`model.views: 2`),
            which `model.augment` has masked in different ways; 0 for none. It is added to the
            loss; 0.2 is published.

    Raises:
        ValueError: If the encoder has no such tap, the smoothing is not a share, or the factor is
            below 0.

    Source: Graves et al. 2006; with consistency, Yao et al. 2024 (CR-CTC); with eos,
        rwth-i6/i6_experiments, users/gaudino/experiments/rf_conformer_att_2023.
    """

    by_chunk: frozenset[Kind] = frozenset({"frames"})

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        weight: float,
        tap: int | None = None,
        dropout: float = 0.1,
        eos: bool = False,
        unused_outputs: int = 0,
        label_smoothing: float = 0.0,
        smoothed: Smoothed = "symbols",
        consistency: float = 0.0,
    ) -> None:
        super().__init__()
        require_tap(encoder, tap)
        require_weight(weight)
        require_share("label_smoothing", label_smoothing)
        refuse_below(0, consistency=consistency)
        self.weight, self.tap = weight, tap
        self.consistency, self.compares_views = consistency, consistency > 0
        self.label_smoothing, self.smoothed = label_smoothing, smoothed
        self.dropout, self.applied = Dropout(dropout), Applied()
        self.outputs = Outputs.labels_with_blank(vocabulary)
        self.topology = CtcTopology()
        self.aligned_targets = FrameTargets(self.outputs, self.topology.labels_repeat)
        trained = Outputs.labels_with_eos_and_blank(vocabulary) if eos else self.outputs
        self.eos = trained.eos if eos else None
        self.num_outputs = len(trained)
        self.output = nn.Linear(encoder.dim, len(trained) + unused_outputs)

    def log_probs(self, encoded: Encoded) -> Tensor:
        """Returns log-probabilities (B, T, V + 1), in single precision; blank last, eos in it."""
        symbols = self.symbol_log_probs(encoded)
        return symbols if self.eos is None else eos_as_blank(symbols)

    def symbol_log_probs(self, encoded: Encoded) -> Tensor:
        """Returns log-probabilities (B, T, V + 1), or (B, T, V + 2) of labels, eos and blank."""
        logits = self.output(self.dropout(encoded.at(self.tap)))
        return torch.log_softmax(logits.float(), dim=2)[..., : self.num_outputs]

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the loss per label (eos counts), and how many utterances had no alignment.

        Those add nothing to the total and have no gradient; their own loss reads infinite.
        """
        labels, label_lengths = batch.labels, batch.label_lengths
        if self.eos is not None:
            labels, label_lengths = appended(labels, label_lengths, self.eos)
        log_probs = self.symbol_log_probs(encoded)
        given = (log_probs, encoded.lengths, labels, label_lengths)
        if self.training and self.label_smoothing:
            how = self.label_smoothing, self.smoothed, self.applied
            losses, feasible = smoothed_ctc_loss(*given, *how)
        else:
            losses, feasible = ctc_loss(*given)
        count = int(label_lengths.sum())
        report = {
            "loss": LossPart(
                total=losses.sum(),
                count=count,
                weight=self.weight,
                per_utterance=losses.detach().masked_fill(~feasible, float("inf")),
            ),
            "infeasible": LossPart((~feasible).sum().float(), len(batch), weight=0.0),
        }
        if self.compares_views and encoded.views == 2:
            divergences = view_divergence(log_probs, encoded.lengths)  # (B / 2,)
            weight = self.weight * self.consistency
            report["consistency"] = LossPart(divergences.sum(), count, weight)
        return report

    def align(self, encoded: Encoded, labels: Tensor, label_lengths: Tensor) -> Alignment:
        """Returns the best alignment of labels (B, U) with lengths (B,)."""
        how = (self.topology, self.outputs.blank)
        scores = frame_scores(self.log_probs(encoded), labels, label_lengths, *how)
        return best_alignment(scores, labels, encoded.lengths, label_lengths, *how)

    def log_posteriors(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities (B, T, V + 1) of labels and blank, eos in it, and lengths."""
        return self.log_probs(encoded), encoded.lengths

    def label_scorer(self, encoded: Encoded) -> LabelScorer:
        """Returns CTC prefix scores, for label-synchronous search."""
        return CtcPrefixScorer(self.log_probs(encoded), encoded.lengths)

    def frame_scores(self, encoded: Encoded) -> FrameScores:
        """Returns the frames' log-probabilities, for time-synchronous search."""
        return FrameScores(self.log_probs(encoded), encoded.lengths)

    def frames_without_eos(self, encoded: Encoded) -> FrameScores:
        """Returns log-probabilities (B, T, V + 1) of frames, that of eos lost, if it has one."""
        assert self.eos is not None
        symbols = self.symbol_log_probs(encoded)
        return FrameScores(torch.cat([symbols[..., :-2], symbols[..., -1:]], 2), encoded.lengths)

    def pictures(self, encoded: Encoded, batch: Batch) -> Pictures:
        """Returns the best paths."""
        return Pictures(recognised=greedy_labels(self.log_probs(encoded), encoded.lengths))

    def min_frames(self, labels: list[int]) -> int:
        """Returns one frame per label, eos counted in, and a blank between equal neighbours."""
        ends = 0 if self.eos is None else 1
        return ends + len(labels) + sum(a == b for a, b in zip(labels, labels[1:], strict=False))


def eos_as_blank(log_probs: Tensor) -> Tensor:
    """Returns log-probabilities (..., V + 1) with eos in blank, of labels, eos, blank (..., V + 2).

    Source: `mask_eos` of rwth-i6/i6_experiments,
        users/gaudino/experiments/rf_conformer_att_2023.
    """
    return torch.cat([log_probs[..., :-2], log_probs[..., -2:].logsumexp(-1, keepdim=True)], -1)


def appended(labels: Tensor, lengths: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Returns sequences (B, U + 1) of labels (B, U) and one more, and their lengths (B,)."""
    last = torch.full_like(lengths, label)[:, None]
    return nn.functional.pad(labels, (0, 1)).scatter(1, lengths[:, None], last), lengths + 1
