"""Words of lattices with their times, where they are aligned and where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.decoding.lattices import AlignsWords, LatticeResults, WordSpans
from asrkit.run_files import NbestLine, WrittenHypothesis
from asrkit.run_folder import DecodedSet
from asrkit.scoring.nist.ctm import CtmWord, read_ctm
from asrkit.wfst.determinised import WordLattice
from asrkit.wfst.lattice_file import NamedLattice

NOTHING = Batch(["u"], *(torch.zeros(1, 1), torch.ones(1), torch.zeros(1, 1), torch.ones(1)))
# "a b" with probability 0.75, "c b" with 0.25, of 10 frames.
LATTICE = NamedLattice(
    WordLattice(
        np.array([0, 4, 4, 7]),
        np.array([[-np.inf] * 3] * 3 + [[0.0] * 3]),
        np.array([0, 0, 1, 2]),
        np.array([1, 2, 3, 3]),
        np.array([1, 3, 2, 2]),
        np.array([[np.log(0.75), 0, 0], [np.log(0.25), 0, 0], [0.0, 0, 0], [0.0, 0, 0]]),
    ),
    ["a", "b", "c"],
    [[1], [2, 3], [4]],
    {"acoustic": "states", "lm": "lm", "pronunciation": "graph"},
    heard=10,
)


def words(tmp_path: Path, labels: list[int], aligned: AlignsWords | None) -> list[CtmWord]:
    place = DecodedSet(tmp_path)
    results = LatticeResults(place, "x", {"states": 1.0, "lm": 1.0, "graph": 1.0}, aligned)
    best = WrittenHypothesis("a b", labels, 0.0, {})
    line = NbestLine(id="u", speaker="s", seconds=1.0, reference="", text="a b", hypotheses=[best])
    results.add(NOTHING, [UtteranceInfo("u", "s", "b", 1.0)], [line], [LATTICE])
    results.finish(["u"])
    return [*read_ctm(place.words)]


def test_without_alignment_words_last_from_where_they_are_written_to_the_next(
    tmp_path: Path,
) -> None:
    assert words(tmp_path, [1, 2, 3], None) == [
        CtmWord("u", "1", 0.3, 0.3, "a", 0.75),
        CtmWord("u", "1", 0.6, 0.4, "b", 1.0),
    ]


def test_with_an_alignment_words_have_its_times(tmp_path: Path) -> None:
    def aligned(batch: Batch, infos: object) -> WordSpans:
        assert infos == [UtteranceInfo("u", "s", "a b", 1.0)]
        return {"u": [(0.1, 0.2), (0.5, 0.8)]}

    found = words(tmp_path, [1, 2, 3], aligned)
    assert [(one.start, one.duration, one.word) for one in found] == [
        (0.1, 0.1, "a"),
        (0.5, 0.3, "b"),
    ]


def test_what_could_not_be_aligned_or_is_not_in_the_lattice_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(words(tmp_path, [1, 2, 3], lambda batch, infos: {})) == 2
    assert "words of 1 utterances, such as u, could not be aligned" in caplog.text
    assert not words(tmp_path, [1, 1], None)
    assert "lacks the words of 1 utterances, such as u" in caplog.text
