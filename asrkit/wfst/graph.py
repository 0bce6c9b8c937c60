"""Transducers as arrays, and their way to and from OpenFst.

Arcs lie in arrays, sorted by the state that they leave, so that building, relabelling and searching
millions of them needs no loop. Composition, determinisation and minimisation are OpenFst's
(`kaldifst`); arrays get there and back as files of OpenFst, which is far faster than arc by arc.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asrkit.lm.tables import Floats, Ints, SmallFloats, SmallInts
from asrkit.wfst.openfst import openfst

EPSILON = 0
"""The label of arcs that read, or write, nothing."""
_MAGIC = 2125659606
_EXPANDED, _MUTABLE = 1, 2
_CONST_STATE = np.dtype(
    [("final", "<f4"), ("begin", "<u4"), ("arcs", "<u4"), ("skipped", "<u4", 2)]
)
_ARC = np.dtype([("input", "<i4"), ("output", "<i4"), ("cost", "<f4"), ("target", "<i4")])


@dataclass(frozen=True)
class Graph:
    """A weighted transducer with S states and A arcs; costs are negative log-probabilities.

    Args:
        start: State in which all paths begin.
        finals: (S,) costs of ending in a state; infinite where no path may end.
        begins: (S + 1,) where the arcs of each state begin; the last entry is A.
        inputs: (A,) labels that are read, 0 for none.
        outputs: (A,) labels that are written, 0 for none.
        costs: (A,).
        targets: (A,) the states that arcs lead to.
    """

    start: int
    finals: SmallFloats
    begins: Ints
    inputs: SmallInts
    outputs: SmallInts
    costs: SmallFloats
    targets: SmallInts

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.finals)

    @property
    def num_arcs(self) -> int:
        """A."""
        return len(self.targets)

    def sources(self) -> SmallInts:
        """Returns the state that each arc leaves, (A,)."""
        counts = np.diff(self.begins)
        return np.repeat(np.arange(self.num_states, dtype=np.int32), counts)


def graph_of(
    start: int,
    finals: Floats | SmallFloats,
    sources: Ints | SmallInts,
    inputs: Ints | SmallInts,
    outputs: Ints | SmallInts,
    costs: Floats | SmallFloats,
    targets: Ints | SmallInts,
) -> Graph:
    """Returns the graph of arcs (A,) in any order; those of one state keep their order."""
    order = np.argsort(sources, kind="stable")
    begins = np.searchsorted(sources[order], np.arange(len(finals) + 1))
    return Graph(
        start,
        finals.astype(np.float32),
        begins.astype(np.int64),
        inputs[order].astype(np.int32),
        outputs[order].astype(np.int32),
        costs[order].astype(np.float32),
        targets[order].astype(np.int32),
    )


def graph_of_arcs(
    start: int, finals: dict[int, float], arcs: Sequence[tuple[int, int, int, float, int]]
) -> Graph:
    """Returns the graph of arcs (source, input, output, cost, target), for small graphs."""
    size = 1 + max([start, *finals, *(a[0] for a in arcs), *(a[4] for a in arcs)])
    ends = np.full(size, np.inf, np.float32)
    ends[list(finals)] = list(finals.values())
    columns = [np.array([arc[place] for arc in arcs]) for place in range(5)] or [np.zeros(0)] * 5
    integers = [columns[place].astype(np.int64) for place in (0, 1, 2, 4)]
    source, read, written, target = integers
    return graph_of(start, ends, source, read, written, columns[3].astype(np.float64), target)


def to_openfst(graph: Graph) -> Any:
    """Returns the graph as a `kaldifst.StdVectorFst`."""
    kaldifst = openfst()

    with tempfile.TemporaryDirectory(prefix="asrkit-fst-") as folder:
        path = Path(folder) / "graph.fst"
        path.write_bytes(_vector_bytes(graph))
        return kaldifst.StdVectorFst.read(str(path))


def _vector_bytes(graph: Graph) -> bytes:
    """Returns the file of a `vector` transducer: each state's end and arcs, state by state."""
    states, arcs = graph.num_states, graph.num_arcs
    header = struct.pack("<i", _MAGIC)
    for word in (b"vector", b"standard"):
        header += struct.pack("<i", len(word)) + word
    properties = _EXPANDED | _MUTABLE
    header += struct.pack("<iiQqqq", 2, 0, properties, graph.start, states, arcs)
    # A state takes 3 words of 32 bits (end, number of arcs in 64 bits), an arc 4.
    words = np.empty(3 * states + 4 * arcs, np.int32)
    counts = np.diff(graph.begins)
    heads = 3 * np.arange(states) + 4 * graph.begins[:-1]
    words[heads] = graph.finals.view(np.int32)
    words[heads + 1] = counts.astype(np.int32)
    words[heads + 2] = 0
    places = 3 * (np.repeat(np.arange(states), counts) + 1) + 4 * np.arange(arcs)
    fields = (graph.inputs, graph.outputs, graph.costs.view(np.int32), graph.targets)
    for offset, field in enumerate(fields):
        words[places + offset] = field
    return header + words.tobytes()


def from_openfst(fst: Any) -> Graph:
    """Returns the graph of a `kaldifst.StdVectorFst`."""
    kaldifst = openfst()

    if fst.start < 0:
        return graph_of_arcs(0, {}, [])  # empty
    with tempfile.TemporaryDirectory(prefix="asrkit-fst-") as folder:
        path = Path(folder) / "graph.fst"
        kaldifst.StdConstFst(fst).write(str(path))
        return _of_const_bytes(path.read_bytes(), fst.num_states)


def _of_const_bytes(data: bytes, states: int) -> Graph:
    """Returns the graph of a file of a `const` transducer: all states, then all arcs."""
    place = 4
    for _ in range(2):  # names of the kinds of transducer and arc
        (size,) = struct.unpack_from("<i", data, place)
        place += 4 + size
    version, flags, _, start, _, arcs = struct.unpack_from("<iiQqqq", data, place)
    place += struct.calcsize("<iiQqqq")
    if flags & 4 or version == 1:  # aligned to 16 bytes
        place += -place % 16
    ends = np.frombuffer(data, _CONST_STATE, states, place)
    found = np.frombuffer(data, _ARC, arcs, place + states * _CONST_STATE.itemsize)
    begins = np.append(ends["begin"], arcs).astype(np.int64)
    fields = (np.ascontiguousarray(found[name]) for name in ("input", "output", "cost", "target"))
    return Graph(start, np.ascontiguousarray(ends["final"]), begins, *fields)
