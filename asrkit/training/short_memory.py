"""Batches that don't fit into GPU memory are split into halves, down to one utterance."""

from __future__ import annotations

import logging

import torch

from asrkit.data.batch import Batch
from asrkit.errors import UserError

MAX_LEFT_OUT = 100
"""More utterances than this that are too long for the memory are not an accident."""

log = logging.getLogger(__name__)


class ShortMemory:
    """Splits batches, and counts the utterances that are left out.

    Args:
        where: What they are left out of, for messages.
        remedy: What can be done if they are many, for the message.
    """

    def __init__(self, where: str, remedy: str) -> None:
        self.where, self.remedy = where, remedy
        self.left_out: set[str] = set()

    def smaller(self, batch: Batch) -> list[Batch]:
        """Returns the halves of a batch; nothing in place of a single utterance.

        Raises:
            UserError: If too many utterances were left out.
        """
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(batch) > 1:
            log.warning(
                "out of memory: continuing in halves with utterances %s", ", ".join(batch.ids)
            )
            return list(batch.halves())
        self.left_out.update(batch.ids)
        log.warning(
            "out of memory: utterance %s is left out of %s, because it does not fit on its own "
            "(%d such utterances so far)",
            batch.ids[0],
            self.where,
            len(self.left_out),
        )
        if len(self.left_out) > MAX_LEFT_OUT:
            raise UserError(
                f"more than {MAX_LEFT_OUT} utterances do not fit into memory, the last of them "
                f"{batch.ids[0]}; {self.remedy}"
            )
        return []
