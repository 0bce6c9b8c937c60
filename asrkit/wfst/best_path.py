"""Search for the best path alone, by kaldi-decoder: for machines without numba."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asrkit.errors import UserError
from asrkit.lm.tables import SmallFloats
from asrkit.wfst.openfst import openfst
from asrkit.wfst.token_passing import Lattice, Pruning, SearchGraph


@dataclass
class BestPath:
    """A search through one utterance, which is made when all frames have come.

    Args:
        graph: What is walked.
        pruning: What is given up; of lattices there is nothing to prune.

    Source: kaldi-asr/kaldi, `src/decoder/faster-decoder.h`.
    """

    graph: SearchGraph
    pruning: Pruning
    chunks: list[SmallFloats] = field(init=False, default_factory=list)

    def step(self, scores: npt.NDArray[np.floating[Any]]) -> None:
        """Takes more frames.

        Args:
            scores: (T, S) log-probabilities, scaled, of the labels 1 to S.

        Raises:
            ValueError: If the graph reads labels beyond S, or a score is not a number.
        """
        self.graph.check(scores, sum(map(len, self.chunks)))
        self.chunks.append(np.ascontiguousarray(scores, np.float32))

    def end(self) -> Lattice | None:
        """Returns the best path as a lattice; None if no path reached an end.

        Raises:
            UserError: If kaldi-decoder is not installed.
        """
        decoder = _kaldi_decoder()
        options = decoder.FasterDecoderOptions(
            beam=self.pruning.beam, max_active=self.pruning.max_active
        )
        search = decoder.FasterDecoder(self.graph.openfst(), options)
        search.decode(decoder.DecodableCtc(np.concatenate(self.chunks)))
        if not search.reached_final():
            return None
        _, path = search.get_best_path()
        return _lattice(path, sum(map(len, self.chunks)))


def _lattice(path: Any, heard: int) -> Lattice:
    """Returns a linear `kaldifst.Lattice` as ours: one arc with its costs, then its words.

    Args:
        path: Of which kaldifst tells labels, and the sum of costs.
        heard: How many frames there were; when words were written is not known.
    """
    _, _, written, total = openfst().get_linear_symbol_sequence(path)
    words = np.array([0, *written], np.int32)
    size = len(words)
    sources = np.arange(size, dtype=np.int32)
    frames = np.full(size + 1, heard, np.int64)
    frames[0] = 0
    finals = np.full(size + 1, np.inf)
    finals[size] = 0.0
    graph_costs, acoustic_costs = np.zeros(size, np.float32), np.zeros(size, np.float32)
    graph_costs[0], acoustic_costs[0] = total.value1, total.value2
    inputs = np.zeros_like(words)
    return Lattice(frames, finals, sources, sources + 1, inputs, words, graph_costs, acoustic_costs)


def _kaldi_decoder() -> Any:
    try:
        import kaldi_decoder
    except ImportError as error:
        raise UserError(
            f"graph searches need numba, or kaldi-decoder ({error}): pip install 'asrkit[hybrid]'"
        ) from error
    return kaldi_decoder
