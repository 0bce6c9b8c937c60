"""Scores of labels that are parts of words, by a back-off n-gram model of words.

A word gets its probability where the next one begins, or the sentence ends. Until then a
hypothesis has the unigram probability of the most frequent word that begins like that, so that
half a word is comparable with whole ones; it is taken back as soon as the word is known.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.lm.ngram import HasLengths, NgramModel
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Ngrams
from asrkit.lm.word_spellings import WordSpellings
from asrkit.scorers.interfaces import Kind, State
from asrkit.text.vocabulary import Vocabulary


class WordNgramModel(nn.Module):
    """A back-off n-gram model of words that scores labels which are parts of them.

    Words that it does not know are scored as `<unk>`, or as its rarest word where it has none;
    `summary` says which, how many words it knows, and how many of them no labels can spell.

    Args:
        ngrams: The model.
        vocabulary: The V labels.
        source: Where the model comes from, for messages.

    Raises:
        UserError: If labels don't tell where words begin, or the model lacks a sentence end.
    """

    by_chunk: frozenset[Kind] = frozenset({"labels"})

    def __init__(
        self, ngrams: Ngrams, vocabulary: Vocabulary, source: object = "the model"
    ) -> None:
        super().__init__()
        words = [symbol for symbol in ngrams.symbols if symbol not in (BEGIN, END)]
        self.words = NgramModel(ngrams, Vocabulary(words), source)
        scores = self.words.get_buffer("log_probs_1")[: len(words)].double().numpy()
        real = [row for row, word in enumerate(words) if word != UNKNOWN]
        rarest = min(real, key=lambda row: float(scores[row]), default=0)
        unknown = words.index(UNKNOWN) if UNKNOWN in words else rarest
        self.spellings = WordSpellings(
            [word if word != UNKNOWN else "" for word in words],
            scores,
            (unknown, float(scores[unknown])),
            vocabulary,
        )
        written = set("".join(vocabulary.symbols))
        unspelled = [words[row] for row in real if not written.issuperset(words[row])]
        rare = f"{words[unknown]} (log p {scores[unknown]:.1f})"
        self.summary = f"{len(real):,} words; others count as its {rare}"
        if unspelled:
            some = ", ".join(unspelled[:10])
            self.summary += f"; {len(unspelled):,} have letters that no label has: {some}"

    def label_scorer(self, encoded: HasLengths) -> WordNgramScorer:
        """Returns the scorer of the encoded utterances."""
        return WordNgramScorer(self, len(encoded.lengths))


class WordNgramScorer:
    """Scores next labels with an n-gram model of words; a label scorer for searches.

    Args:
        model: The model.
        count: Number of utterances B.
    """

    partial = False

    def __init__(self, model: WordNgramModel, count: int) -> None:
        self.model, self.count = model, count

    def initial_state(self) -> State:
        """Returns the states of empty hypotheses.

        They hold histories of words (B, ...), places (B,) within the next word, and if this ends
        there, what is gained (B,), and the histories (B, ...) then.
        """
        history = self.model.words.begin(self.count)
        return self._state(history, history.new_zeros(self.count))

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates.

        Those of all labels of a sentence and its end sum to that of its words.
        """
        _, places, ended, after = state  # (H, ...), (H,), (H,), (H, ...)
        spellings, words = self.model.spellings, self.model.words
        taken_back = -spellings.best[places][:, None]  # (H, 1)
        gone = torch.where(spellings.begins, ended[:, None], taken_back)  # (H, V)
        labels = gone + spellings.best_after_all(places)
        eos = torch.full_like(places[:, None], words.eos)
        closing = ended + words.candidate_log_probs(after, eos)[:, 0]  # (H,)
        scores = torch.cat([labels, closing[:, None]], dim=1)
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after another label (H,)."""
        history, places, _, after = state
        spellings = self.model.spellings
        begins = spellings.begins[labels][:, None]
        history = torch.where(begins, after, history)
        return self._state(history, spellings.after(places, labels))

    def subset(self, utterances: Tensor) -> WordNgramScorer:
        """Returns the scorer of some of the utterances."""
        return WordNgramScorer(self.model, len(utterances))

    def _state(self, history: Tensor, places: Tensor) -> State:
        return history, places, *self._ended(history, places)

    def _ended(self, history: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what is gained (H,) if the word ends here, and the histories (H, ...) then."""
        words, spellings = self.model.words, self.model.spellings
        word = spellings.word[places]  # (H,)
        log_probs = words.candidate_log_probs(history, word[:, None])[:, 0]
        within = places > 0
        gained = torch.where(within, log_probs - spellings.best[places], 0.0)
        return gained, torch.where(within[:, None], words.step(history, word), history)
