"""T: what frames of a CTC output may follow each other, from symbols of frames to labels.

Source: Miao et al. 2015, section 3.2 (TLG). Unlike there, two equal labels in a row need a blank
between them, as the CTC loss has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from asrkit.wfst.graph import EPSILON, Graph, graph_of_arcs


def token_graph(num_labels: int, disambiguation: Sequence[int]) -> Graph:
    """Returns T; it reads label v as v + 1 and blank as V + 1, and writes v + 1.

    Args:
        num_labels: V.
        disambiguation: Numbers above V that are handed on; they are read as numbers above V + 1.
    """
    labels, blank = range(1, num_labels + 1), num_labels + 1
    arcs: list[tuple[int, int, int, float, int]] = []
    for state in range(num_labels + 1):  # after blank and at the start, or after a label
        arcs.append((state, blank, EPSILON, 0.0, 0))
        for label in labels:
            written = EPSILON if label == state else label
            arcs.append((state, label, written, 0.0, label))
        for place, number in enumerate(disambiguation, start=1):
            arcs.append((state, blank + place, number, 0.0, state))
    return graph_of_arcs(0, dict.fromkeys(range(num_labels + 1), 0.0), arcs)
