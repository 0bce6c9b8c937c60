"""The symbols of one output layer: labels of the text with special symbols, or classes.

A text is made of the V labels of a vocabulary. What a head gives probabilities to is not the same:
labels and blank, labels and end of sentence, or classes that have no text, such as tied states and
phones. `Outputs` says which symbols these are, and what the special ones among them mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, TypedDict, cast, get_args

from asrkit.text.vocabulary import Vocabulary

Special = Literal["blank", "eos", "bos"]

BLANK, EOS, BOS = "<blank>", "</s>", "<s>"
"""Names of the special symbols in files and messages."""


class OutputFields(TypedDict):
    """What files say of the symbols that they are about."""

    names: list[str]
    num_labels: int
    specials: dict[str, int]


@dataclass(frozen=True)
class Outputs:
    """The K symbols of one output layer, with ids 0 .. K-1.

    Args:
        names: Of all K symbols, in order of their ids, for files and messages.
        num_labels: How many of them, the first ones, are the labels of the vocabulary, with the
            same ids; 0 where none is.
        specials: The ids of blank, end and begin of sentence, as far as there are such; end and
            begin may be one symbol.

    Raises:
        ValueError: If an id is that of a label, or of no symbol.
    """

    names: tuple[str, ...]
    num_labels: int = 0
    specials: Mapping[Special, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.num_labels <= len(self.names):
            raise ValueError(f"{self.num_labels} labels among {len(self.names)} symbols")
        for special, number in self.specials.items():
            if not self.num_labels <= number < len(self.names):
                raise ValueError(
                    f"{special} ({number}) must be between {self.num_labels} and "
                    f"{len(self.names) - 1}, after the labels"
                )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def labels_with_blank(cls, vocabulary: Vocabulary) -> Outputs:
        """Returns the V labels and blank, V: of a frame."""
        return _after_labels(vocabulary, [BLANK], {"blank": 0})

    @classmethod
    def labels_with_eos(cls, vocabulary: Vocabulary) -> Outputs:
        """Returns the V labels and end of sentence, V, which is also read before all labels."""
        return _after_labels(vocabulary, [EOS], {"eos": 0, "bos": 0})

    @classmethod
    def labels_with_eos_and_bos(cls, vocabulary: Vocabulary) -> Outputs:
        """Returns the V labels, end of sentence, V, and begin of sentence, V + 1: of n-grams."""
        return _after_labels(vocabulary, [EOS, BOS], {"eos": 0, "bos": 1})

    @classmethod
    def labels_with_eos_and_blank(cls, vocabulary: Vocabulary) -> Outputs:
        """Returns the V labels, end of sentence, V, and blank, V + 1: of a frame."""
        return _after_labels(vocabulary, [EOS, BLANK], {"eos": 0, "blank": 1})

    @classmethod
    def classes(cls, names: Sequence[str]) -> Outputs:
        """Returns symbols without text, such as tied states or phones."""
        return cls(tuple(names))

    @classmethod
    def classes_with_blank(cls, names: Sequence[str]) -> Outputs:
        """Returns K symbols without text, such as phones, and blank, K: of a frame."""
        return cls((*names, BLANK), 0, {"blank": len(names)})

    @classmethod
    def states(cls, count: int) -> Outputs:
        """Returns the tied states of an HMM, whose names are their numbers."""
        return cls.classes([f"s{number}" for number in range(count)])

    @classmethod
    def of_fields(cls, fields: OutputFields) -> Outputs:
        """Returns the outputs that a file is about.

        Raises:
            ValueError: If they can't be.
        """
        unknown = fields["specials"].keys() - get_args(Special)
        if unknown:
            raise ValueError(f"unknown special symbols {sorted(unknown)}")
        specials = cast(dict[Special, int], fields["specials"])
        return cls(tuple(fields["names"]), fields["num_labels"], specials)

    def fields(self) -> OutputFields:
        """Returns what files say of these outputs."""
        specials = {str(special): number for special, number in self.specials.items()}
        return {"names": list(self.names), "num_labels": self.num_labels, "specials": specials}

    @property
    def blank(self) -> int:
        """The id of blank.

        Raises:
            ValueError: If there is none.
        """
        return self._id_of("blank")

    @property
    def eos(self) -> int:
        """The id of end of sentence.

        Raises:
            ValueError: If there is none.
        """
        return self._id_of("eos")

    @property
    def bos(self) -> int:
        """The id of begin of sentence.

        Raises:
            ValueError: If there is none.
        """
        return self._id_of("bos")

    def _id_of(self, special: Special) -> int:
        if special not in self.specials:
            raise ValueError(f"no {special} among {self.told()}")
        return self.specials[special]

    def are_among(self, other: Outputs) -> bool:
        """Returns whether other outputs are these; of classes alone, they may have more after."""
        if self.num_labels or self.specials or other.num_labels or other.specials:
            return self == other
        return self.names == other.names[: len(self)]

    def difference(self, other: Outputs) -> str:
        """Returns the first symbol that is not that of other outputs, in words; "" if all are."""
        pairs = enumerate(zip_longest(self.names, other.names))
        different = (f" (symbol {n} is {a!r}, not {b!r})" for n, (a, b) in pairs if a != b)
        return next(different, "")

    def told(self) -> str:
        """Returns what these symbols are, in a few words, for messages."""
        others = len(self.names) - self.num_labels - len(set(self.specials.values()))
        counts = (self.num_labels, "label", "labels"), (others, "class", "classes")
        parts = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n]
        kinds = dict.fromkeys(self.names[number] for number in self.specials.values())
        return " and ".join([*parts, *kinds]) or "no symbols"


def _after_labels(
    vocabulary: Vocabulary, names: list[str], specials: dict[Special, int]
) -> Outputs:
    """Returns the labels and more symbols, whose ids are counted from the last label."""
    size = len(vocabulary)
    ids = {special: size + number for special, number in specials.items()}
    return Outputs((*vocabulary.symbols, *names), size, ids)
