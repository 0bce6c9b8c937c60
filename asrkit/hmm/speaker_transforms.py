"""The fMLLR transform of every speaker, and the files that keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.hmm.fmllr import MIN_FRAMES, apply_transform, fmllr, fmllr_statistics
from asrkit.hmm.gaussians import Mixtures, sort_by_state
from asrkit.hmm.speech import Speech
from asrkit.hmm.tree import Tree

SpeakerTransforms = Mapping[str, Tensor]
"""W (D, D + 1) by speaker; those who are not there keep their features."""


def adapted(speech: Speech, features: Tensor, transforms: SpeakerTransforms) -> Tensor:
    """Returns the features (N, D) of all utterances, transformed for their speakers."""
    result = features.clone()
    for speaker, utterances in speech.speakers.items():
        for one in utterances if speaker in transforms else ():
            own = slice(one.begin, one.end)
            result[own] = apply_transform(transforms[speaker], features[own])
    return result


def estimated(
    speech: Speech,
    mixtures: Mixtures,
    features: Tensor,
    now: Tensor,
    states: Tensor,
    min_frames: int = MIN_FRAMES,
    scored_by: Mixtures | None = None,
) -> dict[str, Tensor]:
    """Returns the transforms of the speakers that have enough frames.

    Args:
        speech: Which frames are whose.
        mixtures: What frames shall fit.
        features: (N, D) without transform.
        now: (N, D) as they are transformed now, for the posterior probabilities.
        states: (N,) the states of frames; negative where they shall not count, as in silence.
        min_frames: That a speaker must have.
        scored_by: Give the posterior probabilities, where `mixtures` do not fit the frames yet; as
            many Gaussians.
    """
    found = {}
    for speaker, utterances in speech.speakers.items():
        rows = torch.cat([torch.arange(one.begin, one.end) for one in utterances])
        by_state = sort_by_state(states[rows])
        statistics = fmllr_statistics(mixtures, features[rows], now[rows], by_state, scored_by)
        transform = fmllr(statistics, min_frames)
        if transform is not None:
            found[speaker] = transform
    return found


def write_transforms(path: Path, transforms: SpeakerTransforms) -> None:
    """Writes a file of arrays (safetensors), wholly or not at all."""
    arrays = {"transforms": torch.stack(list(transforms.values()))} if transforms else {}
    with replaced(path) as partial:
        save_file(arrays, partial, metadata={"speakers": json.dumps(list(transforms))})


def read_transforms(path: Path) -> dict[str, Tensor]:
    """Returns the transforms of a file.

    Raises:
        UserError: If it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"there are no speakers' transforms in {path}: train the stage sat first")
    try:
        with safe_open(path, "pt") as file:
            speakers = json.loads(file.metadata()["speakers"])
            stacked = file.get_tensor("transforms") if speakers else ()
        return dict(zip(speakers, stacked, strict=True))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; train the stage sat again") from error


def spoken_only(states: Tensor, tree: Tree) -> Tensor:
    """Returns the states (N,) of frames, -1 in silence and noise."""
    owners = torch.from_numpy(tree.owners())
    silent = torch.isin(owners, torch.tensor(tree.phones.independent))
    return torch.where(silent[states.clamp(min=0)], -1, states)
