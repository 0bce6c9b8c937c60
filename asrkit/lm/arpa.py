r"""ARPA files: n-gram models as text, the format shared by all n-gram tools.

They have a header `\data\` with the number of n-grams of every order, then for every order a
section such as `\2-grams:` with lines of log10 probability, words, and log10 back-off weight (if
not 0), and end with `\end\`.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asrkit.errors import UserError
from asrkit.files import replaced
from asrkit.lm.tables import BEGIN, END, Ngrams, Table

Strings = npt.NDArray[np.object_]
CHUNK = 100_000
"""Lines that are written or read at a time."""
BETWEEN = b" \0 "
"""Separates lines that are parsed together, to check that they have the same number of fields."""
COMPRESSION = 4
"""Compression level of gzip: within a few percent of the best, in a third of the time."""


def write_arpa(ngrams: Ngrams, path: Path) -> Path:
    """Writes a model to an ARPA file, compressed if its name ends in .gz.

    Returns:
        The path.
    """
    with replaced(path) as partial, _writer(partial) as file:
        header = [f"ngram {k}={len(table)}\n" for k, table in enumerate(ngrams.tables, start=1)]
        file.write("".join(["\\data\\\n", *header]).encode())
        symbols = np.array(ngrams.symbols, dtype=np.object_)
        for k, table in enumerate(ngrams.tables, start=1):
            file.write(f"\n\\{k}-grams:\n".encode())
            for begin in range(0, len(table), CHUNK):
                lines = _lines(symbols, table, slice(begin, begin + CHUNK), k < ngrams.order)
                file.write("".join(lines).encode())
        file.write(b"\n\\end\\\n")
    return path


@contextmanager
def _writer(path: Path) -> Iterator[BufferedIOBase]:
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            yield raw
            return
        # Without name and time in the header, equal models give equal files.
        with gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as file:
            yield file


def _lines(symbols: Strings, table: Table, part: slice, backoffs: bool) -> list[str]:
    words = map(" ".join, symbols[table.words[part]].tolist())
    probs = table.log_probs[part].tolist()
    if not backoffs:
        return [f"{p:.7g}\t{w}\n" for p, w in zip(probs, words, strict=True)]
    weights = table.log_backoffs[part].tolist()
    return [f"{p:.7g}\t{w}\t{b:.7g}\n" for p, w, b in zip(probs, words, weights, strict=True)]


def read_arpa(path: Path) -> Ngrams:
    """Reads a model from an ARPA file, compressed if its name ends in .gz.

    Raises:
        UserError: If the file is missing or damaged; names the line.
    """
    if not path.is_file():
        raise UserError(f"there is no n-gram model {path}; make it with `asrkit ngram`")
    reader = _Reader(path)
    try:
        with path.open("rb") as raw:
            if path.suffix != ".gz":
                return reader.read(raw)
            with gzip.GzipFile(fileobj=raw) as file:
                return reader.read(file)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: can't be read after line {reader.number}: {error}; create it again"
        ) from error


class _Rows:
    """The n-grams of one order that have been read so far."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.words, self.probs, self.weights = array("i"), array("f"), array("f")

    def table(self) -> Table:
        """Returns them as a table."""
        return Table(
            np.frombuffer(self.words, dtype=np.int32).reshape(-1, self.order),
            np.frombuffer(self.probs, dtype=np.float32),
            np.frombuffer(self.weights, dtype=np.float32),
        )


class _Reader:
    """Reads one file; `number` is that of the last line read."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        self.ids: dict[bytes, int] = {}

    def read(self, file: BufferedIOBase) -> Ngrams:
        sizes = self._header(file)
        tables = [self._section(file, k, size) for k, size in enumerate(sizes, start=1)]
        self._expect(file, b"\\end\\")
        symbols = [self._text(word) for word in self.ids]
        for symbol in (BEGIN, END):
            if symbol not in symbols:
                raise UserError(f"{self.path} has no unigram {symbol}, which every model needs")
        return Ngrams(symbols, tables)

    def _error(self, line: bytes, expected: str) -> UserError:
        got = repr(line.decode(errors="replace").strip()[:80]) if line else "the end of the file"
        return UserError(f"{self.path}:{self.number}: got {got}, expected {expected}")

    def _text(self, word: bytes) -> str:
        try:
            return word.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}: the unigram {word!r} is not UTF-8 text") from error

    def _next(self, file: BufferedIOBase) -> bytes:
        """Returns the next line that is not blank; b"" at the end."""
        for line in file:
            self.number += 1
            if line.strip():
                return line
        return b""

    def _expect(self, file: BufferedIOBase, wanted: bytes) -> None:
        line = self._next(file)
        if line.strip() != wanted:
            raise self._error(line, wanted.decode())

    def _header(self, file: BufferedIOBase) -> list[int]:
        """Returns the number of n-grams of each order; stops before the unigrams."""
        line = self._next(file).removeprefix(codecs.BOM_UTF8)
        while line and line.strip() != b"\\data\\":  # comments may come first
            line = self._next(file)
        if not line:
            raise self._error(line, "\\data\\, as in every ARPA file")
        sizes: list[int] = []
        while (line := self._next(file)).startswith(b"ngram"):
            order, _, size = line[len(b"ngram") :].partition(b"=")
            if order.strip() != str(len(sizes) + 1).encode() or not size.strip().isdigit():
                raise self._error(line, f"`ngram {len(sizes) + 1}=COUNT`")
            sizes.append(int(size))
        if not sizes or line.strip() != b"\\1-grams:":
            raise self._error(line, "\\1-grams:" if sizes else "`ngram 1=COUNT`")
        return sizes

    def _section(self, file: BufferedIOBase, order: int, size: int) -> Table:
        if order > 1:
            self._expect(file, f"\\{order}-grams:".encode())
        rows = _Rows(order)
        while left := size - len(rows.probs):
            block = list(islice(file, min(left, CHUNK))) or [b""]
            if order == 1 or not self._uniform(block, rows):
                for line in block:
                    self._line(line, rows, size)
        return rows.table()

    def _uniform(self, block: list[bytes], rows: _Rows) -> bool:
        """Reads lines with the same number of fields at once; returns False if they differ."""
        width = len(block[0].split())
        fields = BETWEEN.join(block).split()
        ends = fields[width :: width + 1]
        right = rows.order + 1 <= width <= rows.order + 2
        step = width + 1
        uniform = len(fields) == step * len(block) - 1
        if not right or not uniform or ends != [BETWEEN.strip()] * (len(block) - 1):
            return False
        try:
            probs = array("f", map(float, fields[::step]))
            weights = array("f", map(float, fields[rows.order + 1 :: step]))
            columns = [[self.ids[w] for w in fields[c::step]] for c in range(1, rows.order + 1)]
        except (ValueError, KeyError):
            return False  # reading line by line will find out where
        rows.probs += probs
        rows.weights += weights if width > rows.order + 1 else array("f", bytes(4 * len(probs)))
        rows.words.extend(chain.from_iterable(zip(*columns, strict=True)))
        self.number += len(block)
        return True

    def _line(self, line: bytes, rows: _Rows, size: int) -> None:
        self.number += 1
        order, fields = rows.order, line.split()
        try:
            prob = float(fields[0])
            weight = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
            words = [self._id(word, order) for word in fields[1 : order + 1]]
        except (ValueError, IndexError, KeyError) as error:
            raise self._line_error(line, order, size, len(rows.probs)) from error
        if not order + 1 <= len(fields) <= order + 2:
            raise self._line_error(line, order, size, len(rows.probs))
        rows.probs.append(prob)
        rows.weights.append(weight)
        rows.words.extend(words)

    def _id(self, word: bytes, order: int) -> int:
        if order > 1:
            return self.ids[word]
        if word in self.ids:
            raise ValueError
        return self.ids.setdefault(word, len(self.ids))

    def _line_error(self, line: bytes, order: int, size: int, row: int) -> UserError:
        expected = f"the log10 probability, {order} word(s), and at most a back-off weight"
        words = line.split()[1 : order + 1]
        if not line.strip() or line.startswith(b"\\"):
            expected += f": the header promises {size} {order}-grams, the section ends after {row}"
        elif order > 1 and (
            new := [w.decode(errors="replace") for w in words if w not in self.ids]
        ):
            expected += f" whose words are unigrams of the file; these are not: {', '.join(new)}"
        elif order == 1 and words and words[0] in self.ids:
            expected += "; this word occurs twice"
        return self._error(line, expected)
