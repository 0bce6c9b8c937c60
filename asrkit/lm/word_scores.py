"""What language models say of the words of sentences, one by one.

A neural model over pieces of words gives a word the product of its pieces, and the probability that
it ends there: that the next piece begins another word, or that the sentence ends. The next word is
then given that. So the probabilities of all words after a history sum to 1, as those of an n-gram
model of words do, and the two can be interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrkit.errors import UserError
from asrkit.lm.ngram import NgramModel
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Bools, Ints, Ngrams
from asrkit.scorers.interfaces import LabelScorer, select
from asrkit.text.vocabulary import Vocabulary

WordScores: TypeAlias = list[NDArray[np.float64]]
"""Of each sentence, (W + 1,) natural log-probabilities of its words and of its end."""
NO_LABEL = -1


def scores_by_pieces(
    scorer: LabelScorer, sentences: Sequence[Sequence[int]], begins: Bools
) -> WordScores:
    """Returns what a model of pieces says of words.

    Beginnings that sentences share are computed once, and all those of a length together.

    Args:
        scorer: Of one utterance, as a language model's is.
        sentences: Label ids, such as those of an n-best list.
        begins: (V,) which labels begin a word.
    """
    lengths = np.array([len(labels) for labels in sentences])
    if not len(lengths):
        return []
    labels = np.full((len(lengths), lengths.max() + 1), NO_LABEL)  # (N, L + 1)
    for row, sentence in enumerate(sentences):
        labels[row, : lengths[row]] = sentence
    pieces, ends = _along_tree(scorer, labels, lengths, torch.from_numpy(begins))
    starts = np.append(begins, False)[labels]  # the entry of NO_LABEL is the last
    starts[:, 0] = True
    starts[np.arange(len(lengths)), lengths] = True  # the end of the sentence
    gains = pieces - np.where(starts, ends, 0.0)  # that a word begins here is known before
    gains[:, :-1] += np.where(starts, ends, 0.0)[:, 1:]  # and belongs to the word that has ended
    gains[:, 0] += ends[:, 0]  # nothing has ended there
    words = starts.cumsum(1) - 1
    found = []
    for row, length in enumerate(lengths):
        of_words = np.zeros(words[row, length] + 1)
        np.add.at(of_words, words[row, : length + 1], gains[row, : length + 1])
        found.append(of_words)
    return found


def _along_tree(
    scorer: LabelScorer, labels: Ints, lengths: Ints, begins: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follows sentences through the tree of their beginnings.

    Returns:
        Log-probabilities (N, L + 1) of the next label, or end of sentence, after each beginning,
        and of all labels that begin a word and the end of the sentence together; 0 elsewhere.
    """
    pieces, ends = np.zeros(labels.shape), np.zeros(labels.shape)
    state = scorer.initial_state()
    nodes = np.zeros(len(labels), np.int64)  # (N,) the beginning of each sentence, in the state
    edges = torch.cat([begins, begins.new_ones(1)])  # (V + 1,)
    for place in range(labels.shape[1]):
        log_probs = scorer.score(state)  # (K, V + 1) of K beginnings
        words_end = (log_probs.exp() @ edges.to(log_probs)).log()  # (K,)
        rows = np.flatnonzero(lengths >= place)
        following = labels[rows, place]
        chosen = np.where(following == NO_LABEL, len(begins), following)
        at = torch.from_numpy(nodes[rows]), torch.from_numpy(chosen)
        pieces[rows, place] = log_probs[at].double().cpu().numpy()
        ends[rows, place] = words_end[at[0]].double().cpu().numpy()
        going = rows[following != NO_LABEL]
        if not len(going):
            break
        keys = nodes[going] * len(begins) + labels[going, place]
        longer, nodes[going] = np.unique(keys, return_inverse=True)
        parents, added = (torch.from_numpy(part) for part in np.divmod(longer, len(begins)))
        device = log_probs.device
        state = scorer.advance(select(state, parents.to(device)), added.to(device))
    return pieces, ends


class NgramWords:
    """An n-gram model of words that says which words it does not know.

    Args:
        ngrams: The model.
        source: Where it comes from, for messages.

    Raises:
        UserError: If it has no `<unk>`, which unknown words are in histories.
    """

    def __init__(self, ngrams: Ngrams, source: object = "the model") -> None:
        words = [symbol for symbol in ngrams.symbols if symbol not in (BEGIN, END)]
        if UNKNOWN not in words:
            raise UserError(
                f"{source} has no {UNKNOWN}, which stands for words that it does not know: make it "
                "by `asrkit ngram --units words`"
            )
        self.vocabulary = Vocabulary(words, UNKNOWN)
        self.model = NgramModel(ngrams, self.vocabulary, source)

    def unknown_words(self, sentence: Sequence[str]) -> Bools:
        """Returns which words (W,) it does not know."""
        ids = np.array([self.vocabulary.id_of(word) for word in sentence], np.int64)
        unknown: Bools = ids == self.vocabulary.unknown
        return unknown

    def scores(self, sentences: Sequence[Sequence[str]]) -> WordScores:
        """Returns log-probabilities of words; those of unknown ones are those of `<unk>`."""
        if not sentences:
            return []
        labels = [
            torch.tensor([self.vocabulary.id_of(word) for word in words], dtype=torch.int64)
            for words in sentences
        ]
        lengths = torch.tensor([len(words) for words in sentences])
        padded = pad_sequence(labels, batch_first=True, padding_value=self.model.eos)
        device = self.model.get_buffer("keys_1").device
        found = self.model.sentence_log_probs(padded.to(device), lengths.to(device))
        rows = found.double().cpu().numpy()
        return [row[: len(words) + 1] for row, words in zip(rows, sentences, strict=True)]
