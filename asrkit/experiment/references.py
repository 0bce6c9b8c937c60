"""Says which references of sets a tokenizer can't write: in `check` of all sets, when decoding."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from asrkit.data.cuts import text_of
from asrkit.data.manifests import open_set, set_names
from asrkit.errors import UserError
from asrkit.text.references import unwritable
from asrkit.text.tokenizers import Tokenizer

log = logging.getLogger(__name__)


def warn_of_references(set_name: str, cuts: Iterable[Any], tokenizer: Tokenizer) -> None:
    """Logs how many references of a set can't be written."""
    found = unwritable(set_name, ((cut.id, text_of(cut)) for cut in cuts), tokenizer)
    if found.count:
        log.warning("%s", found)


def unwritable_elsewhere(data: Path, tokenizer: Tokenizer, checked: Collection[str]) -> list[str]:
    """Returns a line for each set with references that can't be written.

    Args:
        data: Data folder.
        tokenizer: The tokenizer.
        checked: Sets whose utterances were looked at one by one already.
    """
    lines = []
    for name in set_names(data):
        if name in checked:
            continue
        try:
            cuts = open_set(data, [name])
        except UserError as error:  # this spec needs it only once it is decoded
            lines.append(str(error))
            continue
        found = unwritable(name, ((cut.id, text_of(cut)) for cut in cuts), tokenizer)
        lines += [str(found)] if found.count else []
    return lines
