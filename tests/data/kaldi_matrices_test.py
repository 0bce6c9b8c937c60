"""Kaldi's archives of matrices are read as Kaldi itself (kaldi_native_io) reads them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import kaldi_native_io as kaldi
import numpy as np
import pytest

from asrkit.data.audio import AudioError
from asrkit.data.kaldi_matrices import read_matrices, read_matrix_at, split_place

METHODS = sorted(kaldi.CompressionMethod.__members__)


@pytest.fixture
def matrices() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    sizes = {"a": 1, "b": 7, "c": 31, "d": 200}
    return {name: draw.normal(0, 20, (rows, 5)).astype("f4") for name, rows in sizes.items()}


def listed(path: Path) -> dict[str, np.ndarray]:
    """Returns what we read of a list."""
    found = {}
    for line in path.read_text().splitlines():
        name, place = line.split(maxsplit=1)
        archive, offset, part = split_place(place)
        found[name] = read_matrix_at(Path(archive), offset, part)
    return found


def by_kaldi(words: str) -> dict[str, np.ndarray]:
    with kaldi.SequentialFloatMatrixReader(words) as reader:
        return {name: np.array(value) for name, value in reader}


@pytest.mark.parametrize("method", METHODS)
def test_compressed_ones_have_the_values_of_kaldi(
    tmp_path: Path, matrices: dict[str, np.ndarray], method: str
) -> None:
    words = f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp"
    with kaldi.CompressedMatrixWriter(words) as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix, getattr(kaldi.CompressionMethod, method))
    expected = by_kaldi(f"scp:{tmp_path}/f.scp")
    for found in (listed(tmp_path / "f.scp"), dict(read_matrices(tmp_path / "f.ark"))):
        assert list(found) == ["a", "b", "c", "d"]
        for name, matrix in found.items():
            assert matrix.dtype == np.float32
            np.testing.assert_allclose(matrix, expected[name], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("writer", "kind"), [("FloatMatrixWriter", "f4"), ("DoubleMatrixWriter", "f8")]
)
@pytest.mark.parametrize("text", ["", ",t"])
def test_floats_are_read_from_binary_and_text(
    tmp_path: Path, matrices: dict[str, np.ndarray], writer: str, kind: str, text: str
) -> None:
    with getattr(kaldi, writer)(f"ark{text},scp:{tmp_path}/f.ark,{tmp_path}/f.scp") as file:
        for name, matrix in matrices.items():
            file.write(name, matrix.astype(kind))
    packed = tmp_path / "f.ark.gz"
    packed.write_bytes(gzip.compress((tmp_path / "f.ark").read_bytes()))
    for found in (
        listed(tmp_path / "f.scp"),
        dict(read_matrices(tmp_path / "f.ark")),
        dict(read_matrices(packed)),
    ):
        assert list(found) == list(matrices)
        for name, matrix in found.items():
            np.testing.assert_allclose(matrix, matrices[name], rtol=0, atol=1e-4 if text else 0)


def test_ranges_count_their_ends_in(tmp_path: Path, matrices: dict[str, np.ndarray]) -> None:
    with kaldi.FloatMatrixWriter(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp") as writer:
        writer.write("c", matrices["c"])
    place = (tmp_path / "f.scp").read_text().split()[1]
    (tmp_path / "part.scp").write_text(
        f"x {place}[3:9]\ny {place}[0:4,1:2]\nz {place}[:,2:2]\nlate {place}[29:32]\n"
    )
    found = listed(tmp_path / "part.scp")
    whole = matrices["c"]
    for name, expected in by_kaldi(f"scp:{tmp_path}/part.scp").items():
        assert np.array_equal(found[name], expected)
    assert np.array_equal(found["x"], whole[3:10])
    assert np.array_equal(found["y"], whole[:5, 1:3])
    assert np.array_equal(found["z"], whole[:, 2:3])
    assert np.array_equal(found["late"], whole[29:])
    archive, offset, _ = split_place(place)
    for part, said in (
        ("[0:40]", "31 rows and 5 columns"),
        ("[0:4,0:5]", "31 rows and 5 columns"),
        ("[3]", "expected [FIRST:LAST]"),
    ):
        with pytest.raises(AudioError, match=re.escape(said)):
            read_matrix_at(Path(archive), offset, part)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"u \0BFM \4\2\0\0\0\4\2\0\0\0" + b"\0" * 15, "'u': it ends too early"),
        (b"u \0BFM \4\2\0\0\0\4\xff\xff\xff\xff", "its size is damaged: 2 x -1"),
        (b"u \0BFM \3\2\0\0\0\4\2\0\0\0", "its size is damaged"),
        (b"u \0BFV \4\2\0\0\0", "its kind is b'FV'"),
        (b"u \0B\4\2\0\0\0\4\7\0\0\0\4\7\0\0\0", "its kind is"),
        (b"u  [\n 1 2\n 3 4\n", "'u': it ends too early"),
        (b"u  [\n 1 2\n 3 ]\n", "rows have different lengths"),
        (b"u 1 2 3\n", "it begins with"),
        (b"\x1f\x8bnothing", "at its beginning"),
    ],
)
def test_what_is_damaged_says_where(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "f.ark").write_bytes(content)
    with pytest.raises(AudioError, match=re.escape(said)):
        dict(read_matrices(tmp_path / "f.ark"))


def test_an_archive_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="there is no archive"):
        dict(read_matrices(tmp_path / "f.ark"))
    with pytest.raises(AudioError, match=r"f\.ark is missing"):
        read_matrix_at(tmp_path / "f.ark", 3)
