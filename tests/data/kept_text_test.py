"""Labels of text files are kept; what is damaged of them is computed anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.data.text import TextSettings, load_sentences
from asrkit.text.tokenizers import CharacterTokenizer, train_tokenizer


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04junk", bytes(500), b"truncated"])
def test_damaged_labels_are_made_again(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "more.txt").write_text("AB\nBA AB\n")
    train_tokenizer("characters", ["AB BA"], None, tmp_path / "text", "characters")
    tokenizer = CharacterTokenizer(tmp_path / "text")
    settings = TextSettings(train=[], dev=[], files=["more.txt"], batch_labels=10)
    first = load_sentences(settings, tmp_path, tokenizer, training=True)
    (kept,) = (tmp_path / "text" / "tokens").glob("*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2] if damage == b"truncated" else damage)
    again = load_sentences(settings, tmp_path, tokenizer, training=True)
    assert again.labels.tolist() == first.labels.tolist()
    assert again.ends.tolist() == first.ends.tolist() == [0, 2, 7]
    assert "written again" in caplog.text
    assert kept.stat().st_size == len(whole)
