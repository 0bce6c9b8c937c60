"""Lattices of words as other toolkits read them: Kaldi's archives as text, and HTK's SLF.

Source: kaldi-asr/kaldi, `src/lat/kaldi-lattice.cc` (text of a CompactLattice); The HTK Book 3.4,
chapter 20, "HTK Standard Lattice Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from asrkit.errors import UserError
from asrkit.lm.tables import Ints
from asrkit.wfst.determinised import PARTS
from asrkit.wfst.lattice_file import NamedLattice

PLACEHOLDER = "1"
"""Stands for the transition of each frame, as lattices of words don't know which it was."""
SCALES = dict(zip(PARTS, ("acscale", "lmscale", "prscale"), strict=True))
"""HTK's names of the factors of scores."""


def kaldi_text(name: str, found: NamedLattice, labels: Mapping[str, int]) -> Iterator[str]:
    """Yields the lines of an utterance in a text archive of CompactLattice.

    A cost of the graph is that of language model and pronunciation, without weights.

    Args:
        name: Of the utterance.
        found: Its lattice.
        labels: Numbers of the words.

    Raises:
        UserError: If the name has white space.
    """
    if not name or name.split() != [name]:
        raise UserError(f"utterance {name!r} can't be in an archive of Kaldi: white space")
    lattice, heard = found.lattice, heard_at(found)
    costs = 0.0 - lattice.scores  # (L, 3); never -0
    yield name
    begins = np.searchsorted(lattice.sources, np.arange(len(heard) + 1))
    for state in range(len(heard)):
        for arc in range(begins[state], begins[state + 1]):
            target, word = int(lattice.targets[arc]), found.words[int(lattice.words[arc]) - 1]
            weight = _kaldi_weight(costs[arc].tolist(), int(heard[target] - heard[state]))
            yield f"{state}\t{target}\t{labels[word]}\t{weight}"
        if np.isfinite(lattice.ends[state]).all():
            ending = (0.0 - lattice.ends[state]).tolist()
            yield f"{state}\t{_kaldi_weight(ending, int(found.heard - heard[state]))}"
    yield ""


def slf(
    name: str, found: NamedLattice, weights: Mapping[str, float], seconds: float
) -> Iterator[str]:
    """Yields the lines of an utterance's lattice in HTK's format, scores as natural logarithms.

    Args:
        name: Of the utterance.
        found: Its lattice.
        weights: Factors of the scores, by part.
        seconds: How long the utterance is.
    """
    lattice, heard = found.lattice, heard_at(found)
    ends = np.flatnonzero(np.isfinite(lattice.ends).all(1)).tolist()
    yield "VERSION=1.0"
    yield f"UTTERANCE={_quoted(name)}"
    yield "\t".join(f"{SCALES[part]}={weights[part]:g}" for part in PARTS)
    shift = seconds / max(found.heard, 1)
    last = len(heard)  # where all paths end
    yield f"N={last + 1}\tL={len(lattice.sources) + len(ends)}"
    for state, frames in enumerate([*heard.tolist(), found.heard]):
        yield f"I={state}\tt={frames * shift:.3f}"
    arcs = zip(lattice.sources, lattice.targets, lattice.words, lattice.scores, strict=True)
    for number, (source, target, word, scores) in enumerate(arcs):
        text = _quoted(found.words[int(word) - 1])
        yield f"J={number}\tS={source}\tE={target}\tW={text}\t{_slf_scores(scores.tolist())}"
    for number, state in enumerate(ends, start=len(lattice.sources)):
        scores = _slf_scores(lattice.ends[state].tolist())
        yield f"J={number}\tS={state}\tE={last}\tW=!NULL\t{scores}"


def heard_at(found: NamedLattice) -> Ints:
    """Returns how many frames (N,) were heard in each state, never fewer than in one before it."""
    heard = np.minimum(found.lattice.frames, found.heard)
    for source, target in zip(found.lattice.sources, found.lattice.targets, strict=True):
        heard[target] = max(heard[target], heard[source])
    return heard


def _kaldi_weight(costs: Sequence[float], frames: int) -> str:
    acoustic, lm, pronunciation = costs
    return f"{lm + pronunciation:.4f},{acoustic:.4f},{'_'.join([PLACEHOLDER] * frames)}"


def _slf_scores(scores: Sequence[float]) -> str:
    return "\t".join(f"{key}={score:.4f}" for key, score in zip("alr", scores, strict=True))


def _quoted(text: str) -> str:
    r"""Returns a text as HTK reads it: a `\` stands before one, and before quotes at the front."""
    escaped = text.replace("\\", "\\\\")
    return f"\\{escaped}" if escaped[:1] in ("'", '"') else escaped
