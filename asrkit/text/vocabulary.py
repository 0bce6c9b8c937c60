"""The labels that texts are made of, and their ids.

The V labels have ids 0 .. V-1. Blank and end of sentence are not among them: these are symbols of
an output layer, in addition to the labels (`outputs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence


class Vocabulary:
    """The V labels that a model can emit.

    Args:
        symbols: The V distinct symbols, in order of their ids.
        unknown: The symbol for everything else, if the tokenizer has one.

    Raises:
        ValueError: If a symbol occurs twice or `unknown` is not among the symbols.
    """

    def __init__(self, symbols: Sequence[str], unknown: str | None = None) -> None:
        self.symbols = list(symbols)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        if len(self._ids) != len(self.symbols):
            doubled = sorted({s for s in self.symbols if self.symbols.count(s) > 1})
            raise ValueError(f"symbols occur twice in the vocabulary: {doubled[:5]}")
        if unknown is not None and unknown not in self._ids:
            raise ValueError(f"the unknown symbol {unknown!r} is not in the vocabulary")
        self.unknown = None if unknown is None else self._ids[unknown]

    def __len__(self) -> int:
        return len(self.symbols)

    def id_of(self, symbol: str) -> int | None:
        """Returns the id of a symbol; if it is missing, that of `unknown` or None."""
        return self._ids.get(symbol, self.unknown)
