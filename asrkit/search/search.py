"""What every search has in common: a search says how, a loaded one also with what."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asrkit.config.registry import Registry
from asrkit.errors import UserError
from asrkit.scorers.entries import Scorer
from asrkit.scorers.head import HeadScorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, Kind
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source, UnfitError
from asrkit.search.parts import SearchParts
from asrkit.text.vocabulary import Vocabulary
from asrkit.wfst.lattice_file import NamedLattice


class Search(ABC):
    """Finds the best label sequences of utterances; has settings and an algorithm, and no state.

    `scorers` has an entry for everything that scores, `weights` those that are not 0.

    Args:
        scorers: Entries by name; a number is the weight of the head of that name. A weight of 0
            is the same as leaving the entry out.

    Raises:
        ValueError: If no entry has a weight, or one is not finite.
    """

    def __init__(self, scorers: Mapping[str, float | Scorer]) -> None:
        entries = {
            name: entry if isinstance(entry, Scorer) else HeadScorer(entry)
            for name, entry in scorers.items()
        }
        self.scorers = scorers
        self.entries = {name: entry for name, entry in entries.items() if entry.weight}
        self.weights = {name: entry.weight for name, entry in self.entries.items()}
        wild = [f"{name}: {x}" for name, x in self.weights.items() if not math.isfinite(x)]
        if wild:
            raise ValueError(f"weights must be finite numbers, got {', '.join(wild)}")
        if not self.entries:
            raise ValueError(f"scorers {dict(scorers)}: at least one weight must not be 0")

    @abstractmethod
    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""

    @property
    def own_heads(self) -> list[str]:
        """The heads of the decoded model that the search uses."""
        names = (entry.own_head(name) for name, entry in self.entries.items())
        inside = (name for search in self.inner.values() for name in search.own_heads)
        return [*(name for name in names if name is not None), *inside]

    @property
    def inner(self) -> Mapping[str, Search]:
        """The searches whose results it reads, by name."""
        return {}

    @property
    def gives_lattices(self) -> bool:
        """Whether it, or a search inside it, gives a lattice of every utterance."""
        return any(search.gives_lattices for search in self.inner.values())

    @property
    def lattice_weights(self) -> Mapping[str, float]:
        """Weights of the search, itself or one inside it, that gives lattices."""
        giving = (search for search in self.inner.values() if search.gives_lattices)
        return next((search.lattice_weights for search in giving), self.weights)

    def load(self, loader: Loader) -> LoadedSearch:
        """Returns the search with what it scores with.

        Raises:
            UserError: If an entry's scorer can't be found, or has no scores of the kind that it is
                used for.
        """
        sources = {name: self.source(name, loader) for name in self.entries}
        inner = {name: search.load(loader) for name, search in self.inner.items()}
        return LoadedSearch(self, SearchParts(sources, self.weights, inner, loader.vocabulary))

    def over(
        self, sources: Mapping[str, object], vocabulary: Vocabulary | None = None
    ) -> LoadedSearch:
        """Returns the search with given heads, language models or other sources, by entry.

        Searches inside it take theirs from the same.

        Raises:
            UserError: If one is missing, or has no scores of the kind that it is used for.
        """
        for name in self.weights:
            if name not in sources:
                there = ", ".join(sources)
                raise UserError(f"the search needs a head {name!r}; there are {there}")
        found = {name: Source.of(sources[name]) for name in self.weights}
        for name, source in found.items():
            self._require(name, source)
        inner = {name: search.over(sources, vocabulary) for name, search in self.inner.items()}
        return LoadedSearch(self, SearchParts(found, self.weights, inner, vocabulary))

    def source(self, name: str, loader: Loader) -> Source:
        """Returns what an entry scores with.

        Raises:
            UserError: If it can't be found, or has no scores of the kind that it is used for.
        """
        try:
            source = self.entries[name].load(name, loader)
        except UnfitError as error:
            raise self._unfit(name, error) from error
        self._require(name, source)
        return source

    def kind_of(self, name: str) -> Kind:
        """Returns which kind of scores an entry is used for."""
        return "labels"

    def without_pruning(self, num_labels: int) -> Search | None:
        """Returns a copy that prunes no beginning of a single sequence of so many labels.

        It is what `forced` needs; None says that the search can't be held to given sequences.
        """
        return None

    @property
    def can_be_forced(self) -> bool:
        """Whether it can say what it thinks of given sequences."""
        return self.without_pruning(0) is not None

    def held_to(
        self,
        parts: SearchParts,
        encoded: EncodedFrames,
        references: Sequence[list[int]],
        num_labels: int,
    ) -> list[Hypothesis | None] | None:
        """Returns what it says of given sequences, if it has an own way to tell.

        Args:
            parts: What it works with.
            encoded: Frames of B utterances.
            references: Labels of each utterance.
            num_labels: V.

        Returns:
            A hypothesis for each, None where none is possible; null if `without_pruning` is how.
        """
        return None

    def _require(self, name: str, source: Source) -> None:
        try:
            source.require(self.kind_of(name))
        except UnfitError as error:
            raise self._unfit(name, error) from error

    def _unfit(self, name: str, error: UnfitError) -> UserError:
        kinds = [kind for kind, made in searches.entries.items() if made is type(self)]
        kind = kinds[0] if kinds else type(self).__name__
        return UserError(f"scorer {name!r} of a {kind} search: {error}")


@dataclass(frozen=True)
class LoadedSearch:
    """A search and what it scores with.

    Args:
        search: How it searches.
        parts: With what.
    """

    search: Search
    parts: SearchParts

    def run(self, encoded: EncodedFrames, utterances: Sequence[str] = ()) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first.

        Args:
            encoded: Frames of B utterances.
            utterances: Their names; without them, nothing that was found before can be looked up.
        """
        self.parts.utterances = utterances
        return self.search.run(self.parts, encoded)

    def take_lattices(self) -> list[NamedLattice | None]:
        """Returns the lattices of what was searched since the last call; none if it gives none."""
        taken = [*self.parts.lattices]
        self.parts.lattices.clear()
        for search in self.parts.searches.values():
            taken.extend(search.take_lattices())
        return taken

    @property
    def lattice_weights(self) -> Mapping[str, float]:
        """Weights of the search, itself or one inside it, that gives lattices."""
        return self.search.lattice_weights

    @property
    def seconds(self) -> Mapping[str, float]:
        """The time that each scorer took so far."""
        return self.parts.seconds


searches: Registry[Search] = Registry("search", Search)
