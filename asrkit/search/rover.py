"""Word by word, what the lists of several systems agree on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from asrkit.errors import UserError
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis
from asrkit.search.combination import ListsSearch
from asrkit.search.parts import SearchParts
from asrkit.search.search import searches
from asrkit.text.tokenizers import SPACE
from asrkit.text.vocabulary import Vocabulary

Words = tuple[str, ...]


@dataclass
class Slot:
    """A place in a sentence, and what the hypotheses have there.

    Args:
        votes: Probabilities of its words; None is no word.
    """

    votes: dict[str | None, float] = field(default_factory=dict)

    def cost(self, word: str | None) -> float:
        """Returns the share of the votes that are for something else."""
        total = sum(self.votes.values())
        return 1.0 - self.votes.get(word, 0.0) / total if total else 1.0

    def add(self, word: str | None, votes: float) -> None:
        """Adds votes for a word."""
        self.votes[word] = self.votes.get(word, 0.0) + votes

    @property
    def best(self) -> tuple[str | None, float]:
        """The word with most votes, and these; no word where it has as many."""
        return max(self.votes.items(), key=lambda item: (item[1], item[0] is None))


def posteriors(scores: Sequence[float], sharpness: float) -> list[float]:
    """Returns the probabilities of hypotheses by their scores."""
    best = max(scores, default=0.0)
    shares = [math.exp(sharpness * (score - best)) for score in scores]
    return [share / sum(shares) for share in shares]


def summed(shares: Iterable[tuple[Words, float]]) -> dict[Words, float]:
    """Returns the votes for each string of words."""
    votes: dict[Words, float] = {}
    for words, share in shares:
        votes[words] = votes.get(words, 0.0) + share
    return votes


def network(votes: Mapping[Words, float]) -> list[Slot]:
    """Returns the places of a sentence, with the votes of hypotheses aligned to each other.

    The likeliest hypothesis comes first. Each is aligned to what those before it have voted for: a
    word costs the share of the votes for other words, a new place 1.

    Args:
        votes: By the words of a hypothesis.

    Source: Stolcke et al. 2000, "The SRI March 2000 Hub-5 conversational speech transcription
        system" (N-best ROVER), after Fiscus 1997 and Mangu et al. 2000.
    """
    slots: list[Slot] = []
    given = 0.0
    for words, share in sorted(votes.items(), key=lambda item: (-item[1], item[0])):
        slots = _voted(slots, words, share, given)
        given += share
    return slots


def _voted(slots: Sequence[Slot], words: Words, share: float, given: float) -> list[Slot]:
    """Returns the places after the votes of one more hypothesis."""
    result = []
    for slot, word in aligned(slots, words):
        place = slot
        if place is None:
            place = Slot({None: given} if given else {})
        place.add(word, share)
        result.append(place)
    return result


def aligned(slots: Sequence[Slot], words: Words) -> Iterator[tuple[Slot | None, str | None]]:
    """Yields places and the words that stand there; None for a new place, and for no word."""
    width, costs = len(words) + 1, [float(count) for count in range(len(words) + 1)]
    rows = [costs]
    for slot in slots:
        empty, row = slot.cost(None), [rows[-1][0] + slot.cost(None)]
        for end in range(1, width):
            word = rows[-1][end - 1] + slot.cost(words[end - 1])
            row.append(min(word, rows[-1][end] + empty, row[end - 1] + 1.0))
        rows.append(row)
    place, end, path = len(slots), len(words), list[tuple[Slot | None, str | None]]()
    while place or end:
        here, above = rows[place][end], rows[place - 1] if place else None
        if above and end and _same(here, above[end - 1] + slots[place - 1].cost(words[end - 1])):
            path.append((slots[place - 1], words[end - 1]))
            place, end = place - 1, end - 1
        elif above and _same(here, above[end] + slots[place - 1].cost(None)):
            path.append((slots[place - 1], None))
            place -= 1
        else:
            path.append((None, words[end - 1]))
            end -= 1
    yield from reversed(path)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < 1e-9


@searches.register("rover")
class RoverSearch(ListsSearch):
    """Chooses word by word what most lists have there, each hypothesis voting by its probability.

    The sentence need not be in any list. Its score is the sum of the logarithms of its words'
    shares of the votes.

    Args:
        scorers: All of type `lists`; the weights are the lists' shares of the votes.
        sharpness: Factor of the scores of a list where they become probabilities, by scorer, or one
            for all.

    Raises:
        ValueError: If a scorer is not of type `lists`, or a number is not above 0.
    """

    def __init__(
        self, scorers: Mapping[str, float | Scorer], sharpness: float | dict[str, float] = 1.0
    ) -> None:
        super().__init__(scorers)
        others = [name for name in self.entries if name not in self.found]
        if others:
            raise ValueError(f"scorers {', '.join(others)}: all must be of type lists")
        given = sharpness if isinstance(sharpness, dict) else dict.fromkeys(self.found, sharpness)
        self.sharpness = {name: given.get(name, 1.0) for name in self.found}
        unknown = ", ".join(sorted(given.keys() - self.entries.keys()))
        if unknown:
            raise ValueError(f"sharpness of {unknown}: there are scorers {', '.join(self.entries)}")
        if min(*self.weights.values(), *self.sharpness.values()) <= 0:
            raise ValueError(
                f"weights ({self.weights}) and sharpness ({self.sharpness}) must be above 0"
            )

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns one hypothesis of each utterance, none where no list has any."""
        if parts.vocabulary is None:
            raise UserError("a rover search needs the labels, to tell words apart")
        lists, spelling = self.lists(parts, encoded), Spelling(parts.vocabulary)
        return [
            self._chosen({name: found[row] for name, found in lists.items()}, spelling)
            for row in range(len(encoded.lengths))
        ]

    def _chosen(
        self, lists: Mapping[str, Sequence[Hypothesis]], spelling: Spelling
    ) -> list[Hypothesis]:
        given: list[tuple[Words, float]] = []
        heard = {name: found for name, found in lists.items() if found}
        total = sum(self.weights[name] for name in heard)
        for name, found in heard.items():
            shares = posteriors([one.score for one in found], self.sharpness[name])
            said = [spelling.words(one.labels) for one in found]
            weighted = [share * self.weights[name] / total for share in shares]
            given += zip(said, weighted, strict=True)
        if not given:
            return []
        best = [slot.best for slot in network(summed(given))]
        labels = [label for word, _ in best if word for label in spelling.labels_of[word]]
        score = sum(math.log(share) for _, share in best)
        return [Hypothesis(labels, score, {})]


class Spelling:
    """Cuts labels into words, and remembers how these were spelled.

    Args:
        vocabulary: The labels. Where none has the sign of a space, each is a word.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.symbols = vocabulary.symbols
        self.spaced = any(SPACE in symbol for symbol in self.symbols)
        self.labels_of: dict[str, list[int]] = {}

    def words(self, labels: Sequence[int]) -> Words:
        """Returns the words of labels."""
        parts: list[list[int]] = []
        ended = True
        for label in labels:
            symbol = self.symbols[label]
            if ended or not self.spaced or symbol.startswith(SPACE):
                parts.append([])
            parts[-1].append(label)
            ended = len(symbol) > 1 and symbol.endswith(SPACE)
        spelled = {self._text(part): part for part in parts}
        for word, part in spelled.items():
            self.labels_of.setdefault(word, part)
        return tuple(word for part in parts if (word := self._text(part)))

    def _text(self, labels: Sequence[int]) -> str:
        return "".join(self.symbols[label] for label in labels).replace(SPACE, "")
