"""References of test sets that can't be written are said before and while they are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.experiment.references import unwritable_elsewhere, warn_of_references
from asrkit.text.tokenizers import CharacterTokenizer, train_tokenizer


def test_sets_that_a_spec_does_not_train_on_are_looked_at_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write(tmp_path / "a.wav", np.arange(1600, dtype=np.int16), 16000)
    for name, texts in {"train": ["ONE"], "dev": ["ONÉ"], "test": ["ONE", "one", "ÖNE"]}.items():
        sources = (
            Source(f"{name}-{n}", tmp_path / "a.wav", text, "s") for n, text in enumerate(texts)
        )
        write_manifest(tmp_path, name, sources)
    (tmp_path / "manifests" / "._test.jsonl").write_bytes(b"\0")
    (tmp_path / "manifests" / "broken.jsonl").write_text("{}\n")
    train_tokenizer("characters", ["ONE"], None, tmp_path / "text", "characters")
    tokenizer = CharacterTokenizer(tmp_path / "text")
    broken, test = unwritable_elsewhere(tmp_path, tokenizer, ["train", "dev"])
    assert "broken.jsonl:1" in broken
    assert test.startswith("test: 2 of 3 references")
    warn_of_references("train", open_set(tmp_path, ["train"]), tokenizer)
    assert not caplog.text
    warn_of_references("test", open_set(tmp_path, ["test"]), tokenizer)
    assert "test: 2 of 3 references" in caplog.text
