"""Modified Kneser-Ney as in the textbook: dictionaries, recursion, exact fractions."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

Gram = tuple[str, ...]


class Textbook:
    """A slow model of few sentences; `fallback` discounts where counts give none."""

    def __init__(
        self,
        sentences: list[list[str]],
        order: int,
        vocabulary: list[str] | None = None,
        prune: list[int] | None = None,
    ) -> None:
        self.order = order
        if vocabulary is not None:
            sentences = [[w if w in vocabulary else "<unk>" for w in s] for s in sentences]
        self.counts: dict[int, Counter[Gram]] = {k: Counter() for k in range(1, order + 1)}
        for sentence in filter(None, sentences):
            tokens = ["<s>", *sentence, "</s>"]
            for k in self.counts:
                for begin in range(len(tokens) - k + 1):
                    self.counts[k][tuple(tokens[begin : begin + k])] += 1
        self.words = {"<unk>", "</s>", *(vocabulary or [])}
        self.words |= {gram[0] for gram in self.counts[1]} - {"<s>"}
        self.adjusted = {k: self._adjusted(k) for k in self.counts}
        self.discounts = {k: self._discounts(k) for k in self.counts}
        limits = dict(enumerate(prune or [0] * order, start=1))
        self.kept = {
            k: {gram for gram in self.adjusted[k] if self.counts[k][gram] > limits[k]}
            for k in self.counts
        }
        always = {"<unk>", "</s>"} if limits[1] else self.words
        self.kept[1] |= {(word,) for word in always}
        self.words = {gram[0] for gram in self.kept[1]}

    def _adjusted(self, k: int) -> dict[Gram, int]:
        grams = [gram for gram in self.counts[k] if gram != ("<s>",)]
        if k == self.order:
            return {gram: self.counts[k][gram] for gram in grams}
        lefts: dict[Gram, set[str]] = {}
        for longer in self.counts[k + 1]:
            lefts.setdefault(longer[1:], set()).add(longer[0])
        return {g: self.counts[k][g] if g[0] == "<s>" else len(lefts[g]) for g in grams}

    def _discounts(self, k: int) -> list[Fraction]:
        n = Counter(self.adjusted[k].values())
        if n[1] and n[2] and n[3]:
            y = Fraction(n[1], n[1] + 2 * n[2])
            values = [c - (c + 1) * y * Fraction(n[c + 1], n[c]) for c in (1, 2, 3)]
            if min(values) > 0:
                return values
        return [Fraction(1, 2), Fraction(1), Fraction(3, 2)]

    def _discount(self, gram: Gram) -> Fraction:
        return self.discounts[len(gram)][min(self.adjusted[len(gram)][gram], 3) - 1]

    def after(self, history: Gram) -> list[Gram]:
        """Returns the n-grams that go on from a history, pruned ones included."""
        return [g for g in self.adjusted[len(history) + 1] if g[:-1] == history]

    def weight(self, history: Gram) -> Fraction:
        """Returns the share of a history that goes to the next lower order."""
        total, saved = 0, Fraction(0)
        for gram in self.after(history):
            count = self.adjusted[len(gram)][gram]
            total += count
            saved += self._discount(gram) if gram in self.kept[len(gram)] else count
        return saved / total if total else Fraction(1)

    def prob(self, history: Gram, word: str) -> Fraction:
        """Returns p(word | history), by interpolation alone; words may be out of vocabulary."""
        word = word if word in self.words else "<unk>"
        history = (
            history[len(history) - self.order + 1 :] if len(history) >= self.order else history
        )
        lower = self.prob(history[1:], word) if history else Fraction(1, len(self.words))
        gram = (*history, word)
        share = self.weight(history) * lower
        if gram in self.adjusted[len(gram)] and gram in self.kept[len(gram)]:
            total = sum(self.adjusted[len(gram)][g] for g in self.after(history))
            share += (self.adjusted[len(gram)][gram] - self._discount(gram)) / total
        return share
