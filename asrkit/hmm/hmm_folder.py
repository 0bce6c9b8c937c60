"""The HMM behind a model of tied states, in a folder: whatever scores the states.

FOLDER/hmm.json                costs of phones' states, before they were learnt; silence of words
FOLDER/tree.json               which tied state a phone's state has between its neighbours
FOLDER/transitions.safetensors costs of staying in tied states and of going on, as learnt
FOLDER/lexicon.txt             how the words are pronounced that the states were found with
FOLDER/denominator.safetensors what an n-gram model of phones says in them, for LF-MMI alone
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from asrkit.errors import UserError
from asrkit.files import copy_file, replaced, write_text
from asrkit.hmm.denominator_file import NAME as DENOMINATOR
from asrkit.hmm.graphs import Transitions
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.lexicon_files import read_lexicon
from asrkit.hmm.topology import Costs, HmmTopology
from asrkit.hmm.tree import Tree, read_tree

PAUSE = "probability_of_silence"
"""Key of hmm.json; older files lack it."""
FILES = ("hmm.json", "tree.json", "transitions.safetensors", "lexicon.txt")


@dataclass(frozen=True)
class Hmm:
    """What words, phones and tied states have to do with each other.

    Args:
        tree: Ties the states.
        topology: States of phones, and costs before they were learnt.
        transitions: Costs of loops and forward arcs by tied state, as learnt.
        lexicon: How the words are pronounced that were trained on.
        silence: Probability of silence between words, and at both ends.
    """

    tree: Tree
    topology: HmmTopology
    transitions: Transitions
    lexicon: Lexicon
    silence: float = 0.5

    @property
    def num_states(self) -> int:
        """S."""
        return self.tree.num_states

    def write(self, folder: Path) -> None:
        """Writes the files, each wholly or not at all."""
        arrays = {"loops": self.transitions.loops, "forwards": self.transitions.forwards}
        with replaced(folder / "transitions.safetensors") as partial:
            save_file(arrays, partial)
        self.tree.write(folder / "tree.json", self.topology)
        self.lexicon.write(folder / "lexicon.txt")
        facts = {**asdict(self.topology), PAUSE: self.silence}
        write_text(folder / "hmm.json", json.dumps(facts, indent=2) + "\n")


def read_hmm(folder: Path) -> Hmm:
    """Returns the HMM of a folder.

    Raises:
        UserError: If a file is missing or damaged, or they do not belong together.
    """
    require_hmm(folder)
    tree, path = read_tree(folder / "tree.json"), folder / "transitions.safetensors"
    try:
        arrays = load_file(path)
        transitions = Transitions(arrays["loops"], arrays["forwards"])
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error!r}; copy it again from the model's") from error
    if len(transitions.loops) != tree.num_states:
        raise UserError(
            f"{folder}: tree.json has {tree.num_states} tied states, {path.name} has "
            f"{len(transitions.loops)}: they are not of the same model"
        )
    topology, silence = _facts(folder / "hmm.json")
    return Hmm(tree, topology, transitions, read_lexicon(folder / "lexicon.txt"), silence)


def require_hmm(folder: Path) -> None:
    """Checks that a folder holds an HMM.

    Raises:
        UserError: If a file is missing.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} has no {missing[0]}: a model of tied states needs the HMM of these; "
            "Gaussian mixtures (`asrkit gmm`) leave one, and training on their alignments keeps it"
        )


def copy_hmm(source: Path, target: Path) -> None:
    """Copies the files of an HMM, each wholly or not at all.

    Raises:
        UserError: If one is missing.
    """
    require_hmm(source)
    for name in FILES:
        copy_file(source / name, target / name)
    if (source / DENOMINATOR).is_file():
        copy_file(source / DENOMINATOR, target / DENOMINATOR)


def digest_of(folder: Path) -> str:
    """Returns what tells the tied states of one tree from those of others.

    Raises:
        UserError: If the folder has no HMM.
    """
    require_hmm(folder)
    return hashlib.sha256((folder / "tree.json").read_bytes()).hexdigest()[:16]


def _facts(path: Path) -> tuple[HmmTopology, float]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return topology_of(facts), float(facts.get(PAUSE, 0.5))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error!r}; copy it again from the model's") from error


def topology_of(facts: Mapping[str, Any]) -> HmmTopology:
    """Returns the topology that `asdict` made facts of."""
    costs = {name: Costs(**facts[name]) for name in ("speech", "silence", "noise")}
    return HmmTopology(facts["states"], facts["silence_states"], **costs)
