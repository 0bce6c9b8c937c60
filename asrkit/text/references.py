"""References that a tokenizer can't write: no search finds them, whatever it hears."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from asrkit.escapes import escaped
from asrkit.text.tokenizers import Tokenizer

FORMS = {
    "in Unicode's form NFC": lambda text: unicodedata.normalize("NFC", text),
    "in Unicode's form NFD": lambda text: unicodedata.normalize("NFD", text),
    "in capitals": str.upper,
    "in small letters": str.lower,
}
"""How a text may be written otherwise and be the same to a reader."""
SHOWN = 5


@dataclass
class Unwritable:
    """The references of a set that have symbols which the vocabulary lacks.

    Args:
        set_name: The set.
        total: How many references it has.
        count: How many of them can't be written.
        first: Name of the first utterance of those.
        symbols: Their unknown characters or words, and how many references have each.
        otherwise: How many of them could be written in another form, by form.
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
    """Returns what a tokenizer can't write.

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
    """Returns the first form in which the text can be written, if there is one."""
    known = (form for form, to in FORMS.items() if not tokenizer.unknown_in(to(text)))
    return [form for form, _ in zip(known, range(1), strict=False)]


def _shown(symbol: str) -> str:
    """Returns a symbol in quotes, a character with its number, as some look alike."""
    return f"{symbol!r} (U+{ord(symbol):04X})" if len(symbol) == 1 else repr(symbol[:40])
