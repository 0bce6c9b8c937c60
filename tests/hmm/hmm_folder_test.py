"""The HMM of a model of tied states survives its folder, and says what is missing of it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.hmm.graphs import Transitions
from asrkit.hmm.hmm_folder import FILES, PAUSE, Hmm, copy_hmm, digest_of, read_hmm
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.topology import Costs, HmmTopology, Phones
from asrkit.hmm.tree import monophone_tree


def made(*phones: str) -> Hmm:
    topology = HmmTopology(3, 1, silence=Costs(0.0, 3.0, math.inf, 20.0))
    tree = monophone_tree(Phones(list(phones)), topology)
    costs = np.linspace(0.1, 2.0, tree.num_states, dtype=np.float32)
    said = (Pronunciation((phones[0], phones[1])),)
    lexicon = Lexicon({"word": said}, "a test")
    return Hmm(tree, topology, Transitions(costs, costs[::-1].copy()), lexicon, silence=0.3)


def test_a_folder_gives_back_what_was_written(tmp_path: Path) -> None:
    hmm = made("A", "B", "C")
    hmm.write(tmp_path / "one")
    copy_hmm(tmp_path / "one", tmp_path / "two")
    read = read_hmm(tmp_path / "two")
    assert read.topology == hmm.topology
    assert read.silence == 0.3
    assert read.num_states == hmm.num_states == 2 + 3 * 3
    np.testing.assert_array_equal(read.transitions.loops, hmm.transitions.loops)
    np.testing.assert_array_equal(read.transitions.forwards, hmm.transitions.forwards)
    assert dict(read.lexicon) == dict(hmm.lexicon)
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")


def test_another_tree_has_another_digest(tmp_path: Path) -> None:
    made("A", "B").write(tmp_path / "one")
    made("A", "B", "C").write(tmp_path / "two")
    assert digest_of(tmp_path / "one") != digest_of(tmp_path / "two")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    made("A", "B").write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=name):
        read_hmm(tmp_path)


def test_files_of_two_models_are_refused(tmp_path: Path) -> None:
    made("A", "B").write(tmp_path / "one")
    made("A", "B", "C").write(tmp_path / "two")
    (tmp_path / "one/tree.json").replace(tmp_path / "two/tree.json")
    with pytest.raises(UserError, match="not of the same model"):
        read_hmm(tmp_path / "two")


def test_files_of_before_say_nothing_of_silence(tmp_path: Path) -> None:
    made("A", "B").write(tmp_path)
    facts = json.loads((tmp_path / "hmm.json").read_text())
    del facts[PAUSE]
    (tmp_path / "hmm.json").write_text(json.dumps(facts))
    assert read_hmm(tmp_path).silence == 0.5
