"""Tells what an ESPnet2 configuration is of: a recogniser or a language model."""

from __future__ import annotations

from asrkit.foreign.espnet.asr import asr_model
from asrkit.foreign.espnet.lm import language_model
from asrkit.foreign.model import ForeignModel, Given


def espnet_model(given: Given) -> ForeignModel:
    """Returns what a configuration says.

    Args:
        given: What config.yaml holds.

    Raises:
        UserError: If something can't be expressed here; names everything.
    """
    of_text = "lm" in given.config and "encoder" not in given.config
    return (language_model if of_text else asr_model)(given)
