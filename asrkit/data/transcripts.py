"""Utterances with a known transcript, which can be aligned or scored."""

from __future__ import annotations

import logging

from lhotse import CutSet

from asrkit.data.cuts import transcript_of
from asrkit.errors import UserError

log = logging.getLogger(__name__)


def with_transcripts(cuts: CutSet, name: str, purpose: str) -> CutSet:
    """Returns the utterances that have a transcript, even if it is empty.

    Args:
        cuts: Utterances of a set.
        name: Of the set, for messages.
        purpose: What transcripts are needed for, such as "alignments".

    Raises:
        UserError: If no utterance has one.
    """
    kept = [cut for cut in cuts if transcript_of(cut) is not None]
    if not kept:
        raise UserError(
            f"none of the {len(cuts)} utterances of set {name} has a transcript, but {purpose} "
            "need them; `asrkit decode` does not"
        )
    if len(kept) < len(cuts):
        log.warning(
            "%s: %d of %d utterances have no transcript and are left out",
            name,
            len(cuts) - len(kept),
            len(cuts),
        )
    return CutSet.from_cuts(kept)
