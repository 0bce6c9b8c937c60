"""What a search tells of the words of its best hypotheses, for confidences that can be believed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asrkit.experiment.lattice_lists import has_lattices
from asrkit.experiment.tuned_values import values_of
from asrkit.run_files import NbestLine
from asrkit.run_folder import DecodedSet
from asrkit.scoring.confidence import Features, logits_of, nbest_votes
from asrkit.search.lattices import part_weights, path_of
from asrkit.wfst.determinised import PARTS, WordLattice
from asrkit.wfst.lattice_confidences import alternatives, confidences
from asrkit.wfst.lattice_file import NamedLattice, read_lattices
from asrkit.wfst.lattice_lists import PartWeights

BLUNTER = 0.25
"""Factor of the sharpness of the second posterior probability of words."""


@dataclass(frozen=True)
class Evidence:
    """What is known of words.

    Args:
        posteriors: Of each.
        features: More of each, by name: the logit of its `blunt` posterior, the logarithms of how
            many `alternatives` and `letters` there are, its score by the language model of the
            lattice (`lm`), and the logit of the mean posterior of the `utterance`.
        lattices: Whether it is from lattices; else from n-best lists, which tell less.
    """

    posteriors: list[float]
    features: Features
    lattices: bool


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Returns what is known of the words of several utterances, in order."""
    posteriors, features = list[float](), defaultdict[str, list[float]](list)
    for one in parts:
        posteriors.extend(one.posteriors)
        for name, values in one.features.items():
            features[name].extend(values)
    return Evidence(posteriors, dict(features), all(one.lattices for one in parts))


@dataclass(frozen=True)
class _Place:
    """Where a hypothesis is in a lattice.

    Args:
        lattice: The lattice.
        weights: Of the search.
        path: Arcs of the hypothesis.
    """

    lattice: WordLattice
    weights: PartWeights
    path: Sequence[int]

    def shares(self, sharpness: float) -> list[float]:
        """Returns the posterior probabilities of the words."""
        weights = PartWeights(*(sharpness * weight for weight in self.weights))
        return confidences(self.lattice, weights, self.path)


class WordEvidence:
    """Tells of the words of best hypotheses, from lattices or n-best lists.

    Args:
        place: The decoded set.
        node: The spec node of its search.
        lines: Its lists, by utterance.
    """

    def __init__(self, place: DecodedSet, node: Any, lines: Mapping[str, NbestLine]) -> None:
        weights = values_of(node, [])
        self.lines = lines
        known = has_lattices(place.folder)
        lattices = dict(read_lattices(place.lattices)) if known else {}
        self.places = {
            name: _place(lattices.get(name), weights, line) for name, line in lines.items()
        }
        self.known: dict[tuple[str, float], tuple[list[float], list[int]]] = {}

    def __call__(self, sharpness: float) -> dict[str, Evidence]:
        """Returns it by utterance; scores are multiplied by a factor before they are shares."""
        return {name: self._of(line, sharpness) for name, line in self.lines.items()}

    def alike(self, names: Sequence[str]) -> tuple[list[str], bool]:
        """Returns the utterances of the commoner kind of evidence, and whether it is lattices.

        Posteriors of lattices and of n-best lists are not sure of words alike.
        """
        kinds = {
            kind: [name for name in names if (self.places[name] is not None) == kind]
            for kind in (True, False)
        }
        kind = len(kinds[True]) >= len(kinds[False])
        return kinds[kind], kind

    def _of(self, line: NbestLine, sharpness: float) -> Evidence:
        shares, counts = self._shares(line, sharpness)
        blunt, _ = self._shares(line, BLUNTER * sharpness)
        place = self.places[line.id]
        count, mean = len(shares), float(np.mean(blunt)) if blunt else 1.0
        lm = [0.0] * count
        if place is not None:
            lm = place.lattice.scores[place.path, PARTS.index("lm")].tolist()
        features = {
            "blunt": logits_of(blunt),
            "alternatives": np.log(np.maximum(counts, 1)).tolist(),
            "letters": np.log([len(word) for word in line.words]).tolist(),
            "lm": lm,
            "utterance": logits_of([mean] * count),
        }
        return Evidence(shares, features, place is not None)

    def _shares(self, line: NbestLine, sharpness: float) -> tuple[list[float], list[int]]:
        """Returns the posterior probabilities of words, and how many words there are instead."""
        key = line.id, sharpness
        if key not in self.known:
            place = self.places[line.id]
            if place is not None:
                self.known[key] = place.shares(sharpness), alternatives(place.lattice, place.path)
            else:
                votes = nbest_votes(line, sharpness)
                self.known[key] = [share for share, _ in votes], [count for _, count in votes]
        return self.known[key]


def _place(
    found: NamedLattice | None, weights: Mapping[str, float], line: NbestLine
) -> _Place | None:
    """Returns where the best hypothesis is; None where there is no lattice that has its words."""
    if found is None or not line.hypotheses:
        return None
    factors = part_weights(found, weights)
    path = path_of(found, factors, tuple(line.hypotheses[0].labels))
    if path is None:
        return None
    said = [found.words[word - 1] for word in found.lattice.words[path].tolist()]
    return _Place(found.lattice, factors, path) if said == line.words else None
