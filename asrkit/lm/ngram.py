"""Scores of next labels by a back-off n-gram model, for all hypotheses at once.

The n-grams form a trie: those of order k are sorted by (row of their first k - 1 words in the order
below, last word), so finding one is a binary search for one integer, and all words seen after a
history are neighbours. The state of a hypothesis is, for every length below the order, the row of
its last words in the table of that order.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from asrkit.errors import UserError
from asrkit.lm.tables import BEGIN, END, Ngrams, Table
from asrkit.scorers.interfaces import Kind, State
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

MISSING = -1
"""Row of a history that is not in the model; every array ends with an entry for it."""


class HasLengths(Protocol):
    """Anything with a number of utterances, such as encoded frames."""

    @property
    def lengths(self) -> Tensor:
        """(B,)."""
        ...


class NgramModel(nn.Module):
    """A back-off n-gram model over the labels of a vocabulary.

    Args:
        ngrams: The model; n-grams with words that are not labels are left out.
        vocabulary: The V labels.
        source: Where the model comes from, for messages.

    Raises:
        UserError: If labels are missing from the model, or n-grams whose prefix is missing.
    """

    by_chunk: frozenset[Kind] = frozenset({"labels"})

    def __init__(
        self, ngrams: Ngrams, vocabulary: Vocabulary, source: object = "the model"
    ) -> None:
        super().__init__()
        ids = _label_ids(ngrams, vocabulary, source)
        outputs = Outputs.labels_with_eos_and_bos(vocabulary)
        self.eos, self._begin, self._width = outputs.eos, outputs.bos, len(outputs)
        self.order = ngrams.order
        parents = self._width
        for k, table in enumerate(ngrams.tables, start=1):
            parents = self._add_order(k, ids, table, parents, source)

    def _add_order(self, k: int, ids: Tensor, table: Table, parents: int, source: object) -> int:
        """Builds the arrays of one order of the trie; returns its number of n-grams."""
        words = torch.from_numpy(table.words.copy())
        usable = (ids >= 0)[words].all(1).nonzero()[:, 0]
        keys = ids[words[usable, 0]]
        for length, column in enumerate(words.T[1:], start=2):
            rows = self._find(length - 1, keys)
            if bool((rows == MISSING).any()):
                raise _no_prefix(source, k)
            keys = rows * self._width + ids[column[usable]]
        # Rows are in the order of the file so far; the trie needs them in the order of the keys.
        keys, sorting = keys.sort()
        if bool((keys[1:] == keys[:-1]).any()):
            raise UserError(f"{source} has a {k}-gram twice")
        # Row r of the order below has the rows edges[r] .. edges[r + 1] - 1 of this one.
        edges = torch.searchsorted(keys, torch.arange(parents + 1) * self._width)
        self._keep(f"begins_{k}", _with_last(edges[:-1], 0))
        self._keep(f"sizes_{k}", _with_last(edges.diff(), 0))
        self._keep(f"keys_{k}", _with_last(keys, torch.iinfo(torch.int64).max))
        for name, values in (("log_probs", table.log_probs), ("backoffs", table.log_backoffs)):
            logs = torch.from_numpy(values.copy())[usable[sorting]] * math.log(10)
            self._keep(f"{name}_{k}", _with_last(logs, 0))
        return len(keys)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)

    def _find(self, k: int, keys: Tensor) -> Tensor:
        """Returns the rows of keys (...) in order k, or MISSING."""
        table = self.get_buffer(f"keys_{k}")
        rows = torch.searchsorted(table, keys)
        return torch.where(table[rows] == keys, rows, MISSING)

    def label_scorer(self, encoded: HasLengths) -> NgramScorer:
        """Returns the scorer of the encoded utterances."""
        return NgramScorer(self, len(encoded.lengths))

    def begin(self, count: int) -> Tensor:
        """Returns the state (count, max(order - 1, 1)) after `<s>`."""
        device = self.get_buffer("keys_1").device
        state = torch.full((count, max(self.order - 1, 1)), MISSING, device=device)
        state[:, 0] = self._begin
        return state

    def step(self, state: Tensor, labels: Tensor) -> Tensor:
        """Returns the state (H, ...) after labels (H,)."""
        columns = [labels]
        for k in range(2, self.order):
            # A missing history gives a negative key, which no n-gram has.
            columns.append(self._find(k, state[:, k - 2] * self._width + labels))
        return torch.stack(columns, dim=1)

    def log_probs(self, state: Tensor) -> Tensor:
        """Returns log p (H, V + 1) of all labels and the end of sentence.

        From short histories to long ones: back off everywhere, then overwrite what was seen.
        """
        scores = self.get_buffer("log_probs_1")[: self.eos + 1].repeat(len(state), 1)
        for k in range(2, self.order + 1):
            history = state[:, k - 2]
            scores += self.get_buffer(f"backoffs_{k - 1}")[history][:, None]
            sizes = self.get_buffer(f"sizes_{k}")[history]
            hypotheses = torch.repeat_interleave(sizes)  # hypothesis of each row
            offsets = self.get_buffer(f"begins_{k}")[history] - sizes.cumsum(0) + sizes
            rows = torch.arange(len(hypotheses), device=state.device) + offsets[hypotheses]
            words = self.get_buffer(f"keys_{k}")[rows] % self._width
            scores[hypotheses, words] = self.get_buffer(f"log_probs_{k}")[rows]
        return scores

    def candidate_log_probs(self, state: Tensor, candidates: Tensor) -> Tensor:
        """Returns log p (H, C) of candidates (H, C), where V is the end of sentence."""
        scores = self.get_buffer("log_probs_1")[candidates]
        for k in range(2, self.order + 1):
            history = state[:, k - 2 : k - 1]
            scores = scores + self.get_buffer(f"backoffs_{k - 1}")[history]
            rows = self._find(k, history * self._width + candidates)
            seen = self.get_buffer(f"log_probs_{k}")[rows]
            scores = torch.where(rows == MISSING, scores, seen)
        return scores

    def sentence_log_probs(self, labels: Tensor, lengths: Tensor) -> Tensor:
        """Returns log p (B, U + 1) of labels (B, U) and then eos; 0 beyond the end."""
        edge = labels.new_full((len(labels), 1), self.eos)
        places = torch.arange(labels.shape[1] + 1, device=labels.device)
        targets = torch.where(places < lengths[:, None], torch.cat([labels, edge], 1), self.eos)
        state, columns = self.begin(len(labels)), []
        for target in targets.unbind(1):
            columns.append(self.candidate_log_probs(state, target[:, None]))
            state = self.step(state, target)
        return torch.cat(columns, dim=1) * (places <= lengths[:, None])


class NgramScorer:
    """Scores next labels with an n-gram model; a label scorer for searches.

    Args:
        model: The model.
        count: Number of utterances B.
    """

    partial = False

    def __init__(self, model: NgramModel, count: int) -> None:
        self.model, self.count = model, count

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        return self.model.begin(self.count)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates."""
        if candidates is None:
            return self.model.log_probs(state)
        return self.model.candidate_log_probs(state, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after another label (H,)."""
        return self.model.step(state, labels)

    def subset(self, utterances: Tensor) -> NgramScorer:
        """Returns the scorer of some of the utterances."""
        return NgramScorer(self.model, len(utterances))


def _label_ids(ngrams: Ngrams, vocabulary: Vocabulary, source: object) -> Tensor:
    """Returns the label, V (end) or V + 1 (begin) of each word of the model, or MISSING."""
    known = set(ngrams.symbols)
    missing = [s for s in [*vocabulary.symbols, BEGIN, END] if s not in known]
    if missing:
        raise UserError(
            f"{source} lacks {len(missing)} of the {len(vocabulary)} labels and the "
            f"sentence ends: {', '.join(map(repr, missing[:10]))}; estimate the n-gram model "
            "with the tokenizer of this vocabulary (`asrkit ngram --units ...`)"
        )
    ids = {symbol: label for label, symbol in enumerate(vocabulary.symbols)}
    outputs = Outputs.labels_with_eos_and_bos(vocabulary)
    ids |= {END: outputs.eos, BEGIN: outputs.bos}
    return torch.tensor([ids.get(s, MISSING) for s in ngrams.symbols], dtype=torch.int64)


def _with_last(tensor: Tensor, value: int) -> Tensor:
    """Returns the tensor with one more entry, that of `MISSING`."""
    return torch.cat([tensor, tensor.new_tensor([value])])


def _no_prefix(source: object, k: int) -> UserError:
    return UserError(
        f"{source} has {k}-grams whose first {k - 1} words are not among its {k - 1}-grams; such "
        "models can't be used here: export it with all prefixes (the usual ARPA writers do)"
    )
