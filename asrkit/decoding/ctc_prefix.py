"""CTC prefix scores: what a CTC output says of the next label, summed over all alignments.

psi(g) is the log-probability of all label sequences that start with the prefix g. Scoring
candidates is a mere sum over frames; only the label that a hypothesis really takes needs the
recursion over frames, and that one is a cumulative log-sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.decoding.interfaces import State

IMPOSSIBLE = -1e30
"""A log-probability of zero; finite, so that differences stay numbers."""


class CtcPrefixScorer:
    """Scores next labels by CTC; the sum over a hypothesis with eos is its log-probability.

    A state is (r_n, r_b, psi, last): the log-probabilities (H, T + 1) of all alignments of the
    prefix with the first t frames that end in its last label, or in blank; psi (H,); and the last
    label (H,).

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.

    Source: Watanabe et al. 2017, algorithm 2; the recursion over frames is solved as a cumulative
        log-sum-exp, in double precision.
    """

    partial = True

    def __init__(self, log_probs: Tensor, lengths: Tensor) -> None:
        self.log_probs = log_probs.double().clamp(min=-1e5)  # (B, T, V + 1)
        self.lengths = lengths
        frames = torch.arange(log_probs.shape[1], device=lengths.device)
        self._padding = frames >= lengths[:, None]  # (B, T)

    @property
    def num_utterances(self) -> int:
        """B."""
        return self.log_probs.shape[0]

    def initial_state(self) -> State:
        """Returns the states of the B empty prefixes: only blanks so far."""
        blanks = self.log_probs[:, :, -1].cumsum(1)
        r_b = torch.cat([blanks.new_zeros(len(blanks), 1), blanks], dim=1)
        r_n = torch.full_like(r_b, IMPOSSIBLE)
        last = torch.full_like(self.lengths, -1)
        return r_n, r_b, r_b.new_zeros(len(blanks)), last

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns psi(prefix + label) - psi(prefix): (H, V + 1), or (H, C) of candidates."""
        r_n, r_b, psi, last = state
        before = torch.logaddexp(r_n, r_b)  # (H, T + 1)
        scores = self._all(before) if candidates is None else self._some(before, candidates)
        ids = torch.arange(scores.shape[1], device=psi.device) if candidates is None else candidates
        # After its own last label a prefix can only repeat it if a blank came between.
        repeated = self._some(r_b, last.clamp(min=0)[:, None])
        scores = torch.where(ids == last[:, None], repeated, scores)
        ended = before.gather(1, self._rows(self.lengths, len(psi))[:, None])
        scores = torch.where(ids == self.log_probs.shape[2] - 1, ended, scores)
        gain: Tensor = (scores - psi[:, None]).float()
        return gain

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after each prefix took one label (H,)."""
        r_n, r_b, _, last = state
        symbol, blank = self._symbol(labels), self._rows(self.log_probs[:, :, -1], len(labels))
        before = torch.where((labels == last)[:, None], r_b, torch.logaddexp(r_n, r_b))[:, :-1]
        new_n = accumulate(before, symbol)  # (H, T)
        start = torch.full_like(new_n[:, :1], IMPOSSIBLE)
        new_b = accumulate(torch.cat([start, new_n[:, :-1]], dim=1), blank)
        padding = self._rows(self._padding, len(labels))
        psi = (before + symbol).masked_fill(padding, IMPOSSIBLE).logsumexp(1)
        return torch.cat([start, new_n], 1), torch.cat([start, new_b], 1), psi, labels

    def subset(self, utterances: Tensor) -> CtcPrefixScorer:
        """Returns the scorer of some of the utterances."""
        return CtcPrefixScorer(self.log_probs[utterances], self.lengths[utterances])

    def _rows(self, per_utterance: Tensor, hypotheses: int) -> Tensor:
        """Repeats (B, ...) for the hypotheses of each utterance."""
        return per_utterance.repeat_interleave(hypotheses // self.num_utterances, dim=0)

    def _symbol(self, labels: Tensor) -> Tensor:
        """Returns the log-probabilities (H, T) of one label per hypothesis."""
        grouped = labels.view(self.num_utterances, 1, -1)  # (B, 1, H / B)
        index = grouped.expand(-1, self.log_probs.shape[1], -1)
        return self.log_probs.gather(2, index).transpose(1, 2).flatten(0, 1)

    def _some(self, before: Tensor, candidates: Tensor) -> Tensor:
        """Sums over the frame in which each candidate (H, C) is first emitted."""
        utterances, (hypotheses, count) = self.num_utterances, candidates.shape
        index = candidates.view(utterances, 1, -1).expand(-1, self.log_probs.shape[1], -1)
        symbols = self.log_probs.gather(2, index).unflatten(2, (-1, count))  # (B, T, H/B, C)
        past = before[:, :-1].view(utterances, hypotheses // utterances, -1).transpose(1, 2)
        terms = symbols + past.unsqueeze(3)
        hidden = self._padding[:, :, None, None]
        total: Tensor = terms.masked_fill(hidden, IMPOSSIBLE).logsumexp(1).flatten(0, 1)
        return total

    def _all(self, before: Tensor) -> Tensor:
        """Sums likewise for every label, as a matrix product of probabilities."""
        hidden = self._rows(self._padding, len(before))
        past = before[:, :-1].masked_fill(hidden, IMPOSSIBLE)
        highest = past.amax(1, keepdim=True)
        weights = (past - highest).exp().view(self.num_utterances, -1, past.shape[1])
        total = (weights @ self.log_probs.exp()).flatten(0, 1)  # (H, V + 1)
        return total.clamp(min=1e-300).log() + highest


def accumulate(inflow: Tensor, symbol: Tensor) -> Tensor:
    """Solves r_t = logaddexp(r_{t-1}, inflow_t) + symbol_t with r_{-1} impossible.

    Args:
        inflow: (H, T) what may enter at each frame.
        symbol: (H, T) log-probability of being there.

    Returns:
        (H, T).
    """
    total = symbol.cumsum(1)
    return total + (inflow - (total - symbol)).logcumsumexp(1)
