"""A data folder: the one place that knows what its files are called.

DATA/manifests/SET.jsonl   a set's utterances, as lhotse cuts; also .jsonl.gz
DATA/rejected/SET.tsv      utterances that did not get into the manifest
DATA/unusable/SET.tsv      utterances of the manifest that a spec can't use
DATA/doubtful/SET.tsv      utterances that sound odd, but are used
DATA/text/                 tokenizers, and further text of language models
DATA/features/SET/        ready-made features of a set, as arrays of lhotse
DATA/lm/NAME.arpa.gz       n-gram models
DATA/lexicon/NAME.txt      pronunciations; NAME.missing.txt lists words that have none
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import matching
from asrkit.names import require_name

TOKENIZERS = (".model", ".txt")
"""Endings of the files that tokenizers are made from."""


@dataclass(frozen=True)
class DataFolder:
    """The places in a data folder.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def text(self) -> Path:
        """Folder of tokenizers and texts."""
        return self.path / "text"

    def manifest(self, name: str) -> Path:
        """Returns where the manifest of a set is written."""
        return self.path / "manifests" / f"{require_name(name, 'a set')}.jsonl"

    def existing_manifest(self, name: str) -> Path | None:
        """Returns the manifest of a set, which others may have compressed; None if there is none.

        Raises:
            UserError: If there are two.
        """
        plain = self.manifest(name)
        packed = plain.with_name(f"{plain.name}.gz")
        if plain.is_file() and packed.is_file():
            raise UserError(
                f"{plain} and {packed} are both there: delete the one that is not meant"
            )
        return next((path for path in (plain, packed) if path.is_file()), None)

    def set_names(self) -> list[str]:
        """Returns the names of all sets, sorted."""
        folder = self.path / "manifests"
        paths = [*matching(folder, "*.jsonl"), *matching(folder, "*.jsonl.gz")]
        return sorted({path.name.removesuffix(".gz").removesuffix(".jsonl") for path in paths})

    def tokenizers(self, name: str | None = None) -> list[Path]:
        """Returns the files of tokenizers that are there, or of those of one name."""
        paths = [path for ending in TOKENIZERS for path in matching(self.text, f"*{ending}")]
        return sorted(path for path in paths if name in (None, path.stem))

    def features(self, name: str) -> Path:
        """Returns the folder of a set's ready-made features."""
        return self.path / "features" / require_name(name, "a set")

    def rejected(self, name: str) -> Path:
        """Returns where the utterances are listed that did not get into the manifest of a set."""
        return self.path / "rejected" / f"{name}.tsv"

    def unusable(self, name: str) -> Path:
        """Returns where the utterances of a manifest are listed that a spec can't use."""
        return self.path / "unusable" / f"{name}.tsv"

    def doubtful(self, name: str) -> Path:
        """Returns where the utterances of a manifest are listed that sound odd, but are used."""
        return self.path / "doubtful" / f"{name}.tsv"

    def graph(self, name: str) -> Path:
        """Returns where a decoding graph is written."""
        return self.path / "lm" / f"{name}.graph.safetensors"

    def ngram(self, name: str) -> Path:
        """Returns where an n-gram model is written."""
        return self.path / "lm" / f"{name}.arpa.gz"

    def lexicon(self, name: str) -> Path:
        """Returns where a lexicon is written."""
        return self.path / "lexicon" / f"{name}.txt"

    def without_pronunciation(self, name: str) -> Path:
        """Returns where the words are listed that a lexicon lacks."""
        return self.path / "lexicon" / f"{name}.missing.txt"

    def g2p(self, name: str) -> Path:
        """Returns where the G2P model is written that a lexicon was completed by."""
        return self.path / "lexicon" / f"{name}.g2p.arpa.gz"
