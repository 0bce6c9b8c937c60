"""Which state each frame of an utterance is in, and so when its phones and words are said.

On disk all utterances of a set are a few arrays: 4 bytes per frame, and a little per phone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.hmm.graphs import PhoneGraph, UtteranceGraph
from asrkit.hmm.topology import EDGE
from asrkit.hmm.tree import Tree
from asrkit.hmm.viterbi import Ints

Key = tuple[str, float]
"""An utterance and the speed that it is played at."""


@dataclass(frozen=True)
class Span:
    """A phone or a word and its frames, from `start` to before `end`."""

    label: int
    start: int
    end: int


@dataclass(frozen=True)
class Alignment:
    """The T frames and K phones of an utterance.

    Args:
        states: (T,) tied states.
        positions: (T,) which state of its phone each frame is in, from 0 on.
        phones: (K,) ids of phones, silence too.
        starts: (K,) their first frames.
        words: (K,) place in the transcript of the word that each belongs to; -1 for silence.
    """

    states: Ints
    positions: Ints
    phones: Ints
    starts: Ints
    words: Ints

    def __len__(self) -> int:
        """T."""
        return len(self.states)

    @property
    def durations(self) -> Ints:
        """(K,) frames of the phones."""
        return np.diff(self.starts, append=np.int32(len(self)))

    def contexts(self) -> Ints:
        """Returns left neighbour, phone, right neighbour and position (T, 4) of every frame."""
        edge = np.array([EDGE], np.int32)
        padded = np.concatenate([edge, self.phones, edge])
        triples = np.stack([padded[:-2], self.phones, padded[2:]], axis=1)
        each = np.repeat(triples, self.durations, axis=0)
        return np.concatenate([each, self.positions[:, None]], axis=1)

    def tied_by(self, tree: Tree) -> Alignment:
        """Returns the same alignment with the tied states of another tree."""
        left, phone, right, position = self.contexts().T.astype(np.int64)
        return replace(self, states=tree.look_up(left, phone, right, position).astype(np.int32))

    def phone_spans(self) -> list[Span]:
        """Returns when each phone is said."""
        ends = [*self.starts[1:].tolist(), len(self)]
        starts = self.starts.tolist()
        return [Span(*span) for span in zip(self.phones.tolist(), starts, ends, strict=True)]

    def word_spans(self) -> list[Span]:
        """Returns when each word is said; its label is its place in the transcript."""
        found: list[Span] = []
        for word, span in zip(self.words.tolist(), self.phone_spans(), strict=True):
            if found and word == found[-1].label:
                found[-1] = Span(word, found[-1].start, span.end)
            elif word >= 0:
                found.append(Span(word, span.start, span.end))
        return found


def alignment_of(path: Ints, expanded: UtteranceGraph, phones: PhoneGraph) -> Alignment:
    """Returns what a path (T,) through a graph of states says."""
    nodes = expanded.nodes[path]
    starts = np.flatnonzero(np.diff(nodes, prepend=-1)).astype(np.int32)
    passed = nodes[starts]
    return Alignment(
        expanded.graph.states[path],
        expanded.positions[path],
        phones.contexts[passed, 1],
        starts,
        phones.words[passed],
    )


def flat_alignment(
    phones: PhoneGraph, expanded: UtteranceGraph, num_frames: int
) -> Alignment | None:
    """Returns the alignment in which all states of the longest path last equally long.

    None where there are fewer frames than states.
    """
    graph = expanded.graph
    offsets, sources = graph.offsets.tolist(), graph.sources.tolist()
    lengths, origins = [0] * len(graph), [-1] * len(graph)
    for state, start in enumerate(graph.starts.tolist()):
        lengths[state] = 1 if start < np.inf else -len(graph)
        for source in sources[offsets[state] : offsets[state + 1]]:
            if lengths[source] >= lengths[state]:
                lengths[state], origins[state] = lengths[source] + 1, source
    state = max(np.flatnonzero(np.isfinite(graph.ends)).tolist(), key=lengths.__getitem__)
    longest = []
    while state >= 0:
        longest.append(state)
        state = origins[state]
    if len(longest) > num_frames:
        return None
    path = np.array(longest[::-1], np.int32)[np.arange(num_frames) * len(longest) // num_frames]
    return alignment_of(path, expanded, phones)


class Alignments(Mapping[Key, Alignment]):
    """The alignments of a set, by utterance and speed.

    Args:
        found: What is there.
    """

    def __init__(self, found: Mapping[Key, Alignment]) -> None:
        self._found = dict(found)

    def __getitem__(self, key: Key) -> Alignment:
        return self._found[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def write(self, path: Path) -> None:
        """Writes a file of arrays (safetensors), wholly or not at all."""
        values = list(self._found.values())
        arrays = {
            "states": _joined([one.states for one in values], np.int32),
            "frame_offsets": _offsets([len(one) for one in values]),
            **phone_arrays(values),
        }
        names = json.dumps([[utterance, speed] for utterance, speed in self._found])
        with replaced(path) as partial:
            save_file(arrays, partial, metadata={"utterances": names})


def phone_arrays(found: Sequence[Alignment]) -> dict[str, np.ndarray]:
    """Returns the arrays that tell the phones of utterances, whose states are known."""
    return {
        "positions": _joined([one.positions for one in found], np.uint8),
        "phones": _joined([one.phones for one in found], np.int32),
        "starts": _joined([one.starts for one in found], np.int32),
        "words": _joined([one.words for one in found], np.int32),
        "phone_offsets": _offsets([len(one.phones) for one in found]),
    }


def read_alignments(path: Path) -> Alignments:
    """Returns the alignments of a file of `Alignments`, or of a run that aligned words.

    Raises:
        UserError: If it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"there are no alignments in {path}: train or align first")
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            names = _names(arrays, file.metadata())
        if "phone_offsets" not in arrays:
            raise UserError(
                f"{path} tells tied states alone, not words and phones: align the set with "
                "`asrkit align`, by a run with an HMM"
            )
        frames, phones = arrays["frame_offsets"][1:-1], arrays["phone_offsets"][1:-1]
        columns = (
            np.split(arrays["states"], frames),
            np.split(arrays["positions"].astype(np.int32), frames),
            np.split(arrays["phones"], phones),
            np.split(arrays["starts"], phones),
            np.split(arrays["words"], phones),
        )
        pairs = zip(names, zip(*columns, strict=True), strict=True) if names else ()
        return Alignments({key: Alignment(*row) for key, row in pairs})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; delete it and align again") from error


def _names(arrays: dict[str, np.ndarray], metadata: Mapping[str, str]) -> list[tuple[str, float]]:
    """Returns utterances and speeds; what `asrkit align` calls symbols are states here."""
    if "symbols" not in arrays:
        found = json.loads(metadata["utterances"])
    else:
        arrays["states"] = arrays["symbols"].astype(np.int32)
        arrays["frame_offsets"] = arrays["offsets"]
        found = json.loads(arrays["utterances"].tobytes())
    return [(str(name), float(speed)) for name, speed in found]


def _joined(parts: list[Ints], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts], dtype=kind, casting="unsafe")


def _offsets(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
