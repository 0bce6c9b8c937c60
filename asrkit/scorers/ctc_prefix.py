"""CTC prefix scores: what a CTC output says of the next label, summed over all alignments.

psi(g) is the log-probability of all label sequences that start with the prefix g. Scoring
candidates is a mere sum over frames; only the label that a hypothesis really takes needs the
recursion over frames, and that one is a cumulative log-sum.
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from asrkit.scorers.interfaces import IMPOSSIBLE, State


class CtcPrefixScorer:
    """Scores next labels by CTC; the sum over a hypothesis with eos is its log-probability.

    A state is (r_n, r_b, psi, last): the log-probabilities (H, T + 1) of all alignments of the
    prefix with the first t frames that end in its last label, or in blank; psi (H,); and the last
    label (H,).

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.

    Source: Watanabe et al. 2017, algorithm 2; the recursion over frames is solved as a cumulative
        log-sum-exp, and sums over frames as products of scaled probabilities, both in double
        precision.
    """

    partial = True

    def __init__(self, log_probs: Tensor, lengths: Tensor) -> None:
        # (B, V + 1, T): the frames of one symbol lie together, as a search reads them.
        self.probs = log_probs.transpose(1, 2).double().contiguous().exp_()
        self.lengths = lengths
        frames = torch.arange(log_probs.shape[1], device=lengths.device)
        self._valid = frames < lengths[:, None]  # (B, T)

    @property
    def num_utterances(self) -> int:
        """B."""
        return self.probs.shape[0]

    @property
    def eos(self) -> int:
        """V: the id of eos among labels, of blank among symbols."""
        return self.probs.shape[1] - 1

    def initial_state(self) -> State:
        """Returns the states of the B empty prefixes: only blanks so far."""
        blanks = _log(self.probs[:, self.eos]).cumsum(1)
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
        scores = torch.where(ids == self.eos, ended, scores)
        gain: Tensor = (scores - psi[:, None]).float()
        impossible = torch.minimum(scores, psi[:, None]) <= IMPOSSIBLE / 2
        return gain.masked_fill(impossible, IMPOSSIBLE)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after each prefix took one label (H,)."""
        r_n, r_b, _, last = state
        symbol = _log(self._symbols(labels[:, None])[:, 0])  # (H, T)
        blank = self._rows(_log(self.probs[:, self.eos]), len(labels))
        before = torch.where((labels == last)[:, None], r_b, torch.logaddexp(r_n, r_b))
        new_n = accumulate(before[:, :-1], symbol)  # (H, T)
        start = torch.full_like(new_n[:, :1], IMPOSSIBLE)
        new_b = accumulate(torch.cat([start, new_n[:, :-1]], dim=1), blank)
        psi = self._some(before, labels[:, None])[:, 0]
        return torch.cat([start, new_n], 1), torch.cat([start, new_b], 1), psi, labels

    def subset(self, utterances: Tensor) -> CtcPrefixScorer:
        """Returns the scorer of some of the utterances."""
        part = copy(self)
        part.probs, part.lengths = self.probs[utterances], self.lengths[utterances]
        part._valid = self._valid[utterances]
        return part

    def _rows(self, per_utterance: Tensor, hypotheses: int) -> Tensor:
        """Repeats (B, ...) for the hypotheses of each utterance."""
        return per_utterance.repeat_interleave(hypotheses // self.num_utterances, dim=0)

    def _symbols(self, labels: Tensor) -> Tensor:
        """Returns the probabilities (H, C, T) of labels (H, C)."""
        first = torch.arange(self.num_utterances, device=labels.device) * (self.eos + 1)
        places = labels + self._rows(first, len(labels))[:, None]
        chosen = self.probs.flatten(0, 1).index_select(0, places.flatten())
        return chosen.view(*labels.shape, -1)

    def _some(self, before: Tensor, candidates: Tensor) -> Tensor:
        """Sums over the frame in which each candidate (H, C) is first emitted."""
        weights, highest = self._weights(before)
        sums = torch.bmm(self._symbols(candidates), weights[:, :, None])  # (H, C, 1)
        return _scaled_log(sums[..., 0], highest)

    def _all(self, before: Tensor) -> Tensor:
        """Sums likewise for every symbol: (H, V + 1)."""
        weights, highest = self._weights(before)
        grouped = weights.view(self.num_utterances, -1, weights.shape[1])
        return _scaled_log((grouped @ self.probs.transpose(1, 2)).flatten(0, 1), highest)

    def _weights(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """Returns probabilities (H, T) before each valid frame, and the factor's log (H, 1)."""
        past = before[:, :-1].masked_fill(~self._rows(self._valid, len(before)), IMPOSSIBLE)
        highest = past.amax(1, keepdim=True)
        return (past - highest).exp_(), highest


def _log(probabilities: Tensor) -> Tensor:
    """Returns logarithms that stay finite."""
    return probabilities.log().clamp_(min=-1e5)


def _scaled_log(total: Tensor, factor: Tensor) -> Tensor:
    """Returns log(total) + factor, impossible where the total is not a normal number."""
    return (total.log() + factor).masked_fill(total < 1e-300, IMPOSSIBLE)


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
