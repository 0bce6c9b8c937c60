"""A model of Gaussian mixtures with all that it needs to score speech, in a folder.

FOLDER/model.safetensors   mixtures, costs of transitions, the projection of features
FOLDER/tree.json           which tied state a phone's state has between its neighbours
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.hmm.features import Deltas, FrontEnd, Projection
from asrkit.hmm.gaussians import Mixtures
from asrkit.hmm.graphs import PhoneGraph, Transitions, UtteranceGraph, state_graph
from asrkit.hmm.hmm_folder import topology_of
from asrkit.hmm.topology import HmmTopology
from asrkit.hmm.tree import Tree, read_tree


@dataclass(frozen=True)
class Model:
    """An HMM of Gaussian mixtures.

    Args:
        topology: States of phones, costs of skips and exits.
        tree: Ties the states.
        transitions: Costs of loops and forward arcs by tied state.
        mixtures: Of the tied states.
        front: Makes features of cepstra.
        first_mixtures: Fit features without a speaker's transform, for a first pass; only where
            `mixtures` want transformed ones. Gaussian for Gaussian they are the same ones.

    Raises:
        ValueError: If they are not.
    """

    topology: HmmTopology
    tree: Tree
    transitions: Transitions
    mixtures: Mixtures
    front: FrontEnd
    first_mixtures: Mixtures | None = None

    def __post_init__(self) -> None:
        first = self.first_mixtures
        if first is not None and not torch.equal(first.offsets, self.mixtures.offsets):
            raise ValueError(
                f"the mixtures of the first pass are {len(first)} Gaussians of {first.num_states} "
                f"states, expected {len(self.mixtures)} of {self.mixtures.num_states}"
            )

    def state_graph(self, phones: PhoneGraph) -> UtteranceGraph:
        """Returns the states of an utterance's graph of phones."""
        return state_graph(phones, self.topology, self.tree, self.transitions)

    def write(self, folder: Path) -> None:
        """Writes the files of the model, each wholly or not at all."""
        self.tree.write(folder / "tree.json", self.topology)
        arrays = {
            "loops": torch.from_numpy(self.transitions.loops),
            "forwards": torch.from_numpy(self.transitions.forwards),
            **_mixture_arrays("mixtures", self.mixtures),
        }
        if self.first_mixtures is not None:
            arrays.update(_mixture_arrays("first", self.first_mixtures))
        facts: dict[str, Any] = {"topology": asdict(self.topology)}
        if isinstance(self.front, Projection):
            arrays["projection"] = self.front.matrix
            facts["context"] = self.front.context
        elif isinstance(self.front, Deltas):
            facts["deltas"] = asdict(self.front)
        with replaced(folder / "model.safetensors") as partial:
            tensors = {name: array.contiguous() for name, array in arrays.items()}
            save_file(tensors, partial, metadata={"model": json.dumps(facts)})


def read_model(folder: Path) -> Model:
    """Returns the model of a folder.

    Raises:
        UserError: If a file is missing or damaged, or model and tree do not belong together.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise UserError(f"there is no model in {folder}: {path} is missing; train it first")
    tree = read_tree(folder / "tree.json")
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["model"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = Model(
            topology_of(facts["topology"]),
            tree,
            Transitions(arrays["loops"].numpy(), arrays["forwards"].numpy()),
            _mixtures("mixtures", arrays),
            Projection(arrays["projection"], facts["context"])
            if "projection" in arrays
            else Deltas(**facts["deltas"]),
            _mixtures("first", arrays) if "first.offsets" in arrays else None,
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error!r}; train the model again") from error
    if tree.num_states != model.mixtures.num_states:
        raise UserError(
            f"{folder}/tree.json has {tree.num_states} tied states, model.safetensors has "
            f"{model.mixtures.num_states}: they are not of the same model"
        )
    return model


def _mixture_arrays(name: str, mixtures: Mixtures) -> dict[str, Tensor]:
    return {
        f"{name}.offsets": mixtures.offsets,
        f"{name}.log_weights": mixtures.log_weights,
        f"{name}.means": mixtures.means,
        f"{name}.variances": mixtures.variances,
    }


def _mixtures(name: str, arrays: dict[str, Tensor]) -> Mixtures:
    parts = ("offsets", "log_weights", "means", "variances")
    return Mixtures(*(arrays[f"{name}.{part}"] for part in parts))
