"""A small language: words of few phones, their lexicon, and signals drawn from known Gaussians."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asrkit.hmm.alignments import Alignment
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.topology import HmmTopology, Phones
from asrkit.hmm.tree import monophone_tree

LEXICON = Lexicon(
    {
        "ab": [Pronunciation(("A", "B"))],
        "ca": [Pronunciation(("C", "A")), Pronunciation(("C", "D", "A"), 0.5)],
        "d": [Pronunciation(("D",))],
    }
)
PHONES = Phones(LEXICON.phones)
TOPOLOGY = HmmTopology()
COMPILER = GraphCompiler(LEXICON, PHONES)
TREE = monophone_tree(PHONES, TOPOLOGY)


class Speaker:
    """Draws utterances from a Gaussian per state of every phone.

    Args:
        seed: Of all that is random.
        dim: D of the frames.
        distance: Between the means of states, in standard deviations.
    """

    def __init__(self, seed: int = 1, dim: int = 6, distance: float = 3.0) -> None:
        self.random = np.random.default_rng(seed)
        self.means = distance * self.random.normal(size=(TREE.num_states, dim))

    def words(self, count: int) -> list[str]:
        """Returns random words."""
        return [str(word) for word in self.random.choice(list(LEXICON), count)]

    def say(self, words: list[str]) -> tuple[Tensor, Alignment]:
        """Returns frames (T, D) of words, and how they really are aligned."""
        phones, places = [1], [-1]
        for place, word in enumerate(words):
            said = self.random.choice(len(LEXICON[word]))
            ids = [PHONES.ids[name] for name in LEXICON[word][said].phones]
            phones, places = phones + ids, places + [place] * len(ids)
            if self.random.random() < 0.5:
                phones, places = [*phones, 1], [*places, -1]
        lengths = 1 + self.random.geometric(0.4, size=3 * len(phones))
        positions = np.repeat(np.tile(np.arange(3), len(phones)), lengths)
        each = np.repeat(np.repeat(phones, 3), lengths)
        nothing = np.zeros(len(each), np.int64)
        states = TREE.look_up(nothing, each, nothing, positions)
        frames = self.means[states] + self.random.normal(size=(len(states), self.means.shape[1]))
        starts = np.concatenate([[0], lengths.reshape(-1, 3).sum(1).cumsum()[:-1]])
        columns = (states, positions, np.array(phones), starts, np.array(places))
        alignment = Alignment(*(column.astype(np.int32) for column in columns))
        return torch.from_numpy(frames.astype(np.float32)), alignment
