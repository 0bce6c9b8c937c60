"""The labels of an ESPnet2 model: its list of tokens, and what splits texts into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.foreign.model import Given, Units
from asrkit.foreign.settings import Problems

BLANK, END, UNKNOWN = "<blank>", "<sos/eos>", "<unk>"
KINDS = {"bpe": "sentencepiece", "char": "characters", "word": "words"}


@dataclass(frozen=True)
class Labels:
    """The labels.

    Args:
        tokens: All symbols there: blank first, end of sentence last.
        kind: What they are, as it is called here.
        sentencepiece: The SentencePiece model, of BPE.
    """

    tokens: Sequence[str]
    kind: str
    sentencepiece: Path | None

    @classmethod
    def of(cls, given: Given, problems: Problems) -> Labels:
        """Returns those of a configuration.

        Args:
            given: What config.yaml holds.
            problems: Where problems go.
        """
        config = given.config
        kind = config.get("token_type")
        if kind not in KINDS:
            problems.add(f"token_type is {kind!r}, expected {', '.join(KINDS)}")
        there = (given.place, given.sentencepiece, problems)
        found = units_file(config, *there) if kind == "bpe" else None
        return cls(_tokens(config, problems), KINDS.get(str(kind), ""), found)

    def tree(self) -> dict[str, Any]:
        """Returns the tokenizer of a spec."""
        unknown = UNKNOWN if UNKNOWN in self.tokens else None
        return {"type": "listed", "name": "units", "units": self.kind, "unknown": unknown}

    def units(self) -> Units:
        """Returns the labels as they are imported."""
        return Units(self.tokens[1:-1], self.sentencepiece)

    @property
    def frame_order(self) -> list[int]:
        """Their number of each output by frame here: labels, blank, end of sentence."""
        return [*range(1, len(self.tokens) - 1), 0, len(self.tokens) - 1]

    @property
    def label_order(self) -> list[int]:
        """Their number of each output by label here: labels, end of sentence, blank."""
        return [*range(1, len(self.tokens) - 1), len(self.tokens) - 1, 0]


def _tokens(config: Mapping[str, Any], problems: Problems) -> list[str]:
    """Returns the list of tokens, blank first, end of sentence last."""
    tokens = config.get("token_list")
    if not isinstance(tokens, list) or len(tokens) < 3:
        problems.add("token_list: expected a list of blank, labels and end of sentence")
        return [BLANK, UNKNOWN, END]
    ends = str(tokens[0]), str(tokens[-1])
    if ends != (BLANK, END):
        problems.add(f"token_list begins and ends with {ends}, expected {(BLANK, END)}")
    return list(map(str, tokens))


def units_file(
    config: Mapping[str, Any], place: Path, given: Path | None, problems: Problems
) -> Path | None:
    """Returns the SentencePiece model: that which is given, or what the configuration names."""
    named = Path(str(config.get("bpemodel")))
    around = [folder / named for folder in (Path(), *place.resolve().parents)]
    places = [given] if given is not None else [*around, place.parent / named.name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        problems.add(
            f"there is no SentencePiece model {given or named} (bpemodel): say where it is with "
            "--bpe FILE"
        )
    return found


def more_training() -> dict[str, Any]:
    """Returns settings for more training: those of the other toolkit are of the past."""
    return {
        "epochs": 10,
        "optimizer": {"type": "adamw"},
        "schedule": {"type": "constant", "value": 0.0001},
        "update": {"max_grad_norm": 5.0},
    }
