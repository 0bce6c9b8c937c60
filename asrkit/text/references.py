"""References that a tokenizer can't represent: no search can find them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from asrkit.escapes import escaped
from asrkit.text.tokenizers import Tokenizer

FORMS = {
    "in the Unicode form NFC": lambda text: unicodedata.normalize("NFC", text),
    "in the Unicode form NFD": lambda text: unicodedata.normalize("NFD", text),
    "in capitals": str.upper,
    "in lower case": str.lower,
}
"""Other ways to write a text that read the same."""
SHOWN = 5


@dataclass
class Unwritable:
    """The references of a set with symbols that are not in the vocabulary.

    Args:
        set_name: The set.
        total: Number of references.
        count: Number of references that can't be represented.
        first: Name of the first utterance among them.
        symbols: Their unknown characters or words, and how many references have each.
        otherwise: How many of them could be represented in another form, by form.
    """

    set_name: str
    total: int = 0
    count: int = 0
    first: str = ""
    symbols: Counter[str] = field(default_factory=Counter)
    otherwise: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Returns the report in one line."""
        shown = ", ".join(_shown(symbol) for symbol, _ in self.symbols.most_common(SHOWN))
        what = "characters" if all(len(symbol) == 1 for symbol in self.symbols) else "words"
        text = (
            f"{self.set_name}: {self.count} of {self.total} references have {what} the tokenizer "
            f"cannot write, such as {shown} in {escaped(self.first)}; they count as errors"
        )
        forms = [f"{count} could be written {form}" for form, count in self.otherwise.items()]
        return "; ".join([text, *forms])


def unwritable(
    set_name: str, references: Iterable[tuple[str, str]], tokenizer: Tokenizer
) -> Unwritable:
    """Returns the references that a tokenizer can't represent.

    Args:
        set_name: The set.
        references: Names and texts of its utterances.
        tokenizer: The tokenizer.
    """
    found = Unwritable(set_name)
    for name, text in references:
        found.total += 1
        unknown = tokenizer.unknown_in(text)
        if unknown:
            found.count += 1
            found.first = found.first or name
            found.symbols.update(unknown)
            found.otherwise.update(_other_form(text, tokenizer))
    return found


def _other_form(text: str, tokenizer: Tokenizer) -> list[str]:
    """Returns the first form in which the text can be represented, if there is one."""
    known = (form for form, to in FORMS.items() if not tokenizer.unknown_in(to(text)))
    return [form for form, _ in zip(known, range(1), strict=False)]


def _shown(symbol: str) -> str:
    """Returns a symbol in quotes; a character with its code, because some look alike."""
    return f"{symbol!r} (U+{ord(symbol):04X})" if len(symbol) == 1 else repr(symbol[:40])
