"""`asrkit tokenizer`: trains a tokenizer on the transcripts of a set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from asrkit.data.manifests import open_set
from asrkit.text.tokenizers import train_tokenizer


def tokenizer(
    kind: Literal["bpe", "unigram", "characters", "words"],
    data: Path,
    set_name: str,
    size: int | None,
    name: str,
) -> Path:
    """Writes DIR/text/NAME.model or NAME.txt from the transcripts of a set of DIR."""
    texts = (
        supervision.text or ""
        for cut in open_set(data, [set_name])
        for supervision in cut.supervisions
    )
    return train_tokenizer(kind, texts, size, data / "text", name)
