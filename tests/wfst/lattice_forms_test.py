"""Lattices in the forms of Kaldi and HTK, read back by small parsers: all paths are what they were.

kaldifst and kaldi-native-io read no archives of CompactLattice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.files import write_lines
from asrkit.run_files import NbestLine
from asrkit.run_folder import RunFolder
from asrkit.wfst.determinised import WordLattice
from asrkit.wfst.lattice_file import NamedLattice, write_lattices
from asrkit.wfst.lattice_forms import kaldi_text, slf
from asrkit.wfst.lattice_lists import PartWeights, best_words
from tests.cli_test import asrkit

WORDS = ["ab", "'tis", "c\\d", "é"]
Paths = dict[tuple[str, ...], tuple[list[float], list[float]]]
"""Of each word sequence, the scores, and when its words and its end were written."""


def lattice(seed: int) -> NamedLattice:
    """Returns a random lattice of up to 6 states, all of which lead to an end."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(2, 7))
    arcs = sorted(
        {(s, int(draw.integers(s + 1, count)), int(w)) for s in range(count - 1) for w in (1, 2)}
        | {(s, s + 1, int(draw.integers(3, 5))) for s in range(count - 1)}
    )
    ends = np.where(draw.random((count, 1)) < 0.4, 0.0, -np.inf) - 5 * draw.random((count, 3))
    ends[-1] = [0.0, -1.5, 0.0]
    sources, targets, words = (np.array(numbers) for numbers in zip(*arcs, strict=True))
    scores, frames = -9 * draw.random((len(arcs), 3)), draw.integers(0, 30, count)
    frames[0] = 0
    made = WordLattice(frames, ends, sources, targets, words, scores)
    names = {"acoustic": "states", "lm": "lm", "pronunciation": "graph"}
    return NamedLattice(made, WORDS, [[0]] * 4, names, heard=40)


def expected(found: NamedLattice) -> dict[tuple[str, ...], list[float]]:
    every = best_words(found.lattice, PartWeights(1.0, 1.0, 1.0), 10**6)
    return {tuple(found.words[w - 1] for w in one.words): one.parts.tolist() for one in every}


def paths(
    arcs: list[tuple[int, int, str, list[float], float]], ends: dict[int, tuple[list[float], float]]
) -> Paths:
    """Returns all paths from state 0; arcs have source, target, word, scores, and a duration."""

    def onward(
        state: int, words: tuple[str, ...], scores: list[float], times: list[float]
    ) -> Iterator[tuple[tuple[str, ...], tuple[list[float], list[float]]]]:
        if state in ends:
            last, length = ends[state]
            yield words, (add(scores, last), [*times, times[-1] + length])
        for source, target, word, more, length in arcs:
            if source == state:
                spelled = (*words, word)
                yield from onward(target, spelled, add(scores, more), [*times, times[-1] + length])

    return dict(onward(0, (), [0.0] * 3, [0.0]))


def add(first: list[float], second: list[float]) -> list[float]:
    return [a + b for a, b in zip(first, second, strict=True)]


def read_kaldi(lines: list[str], names: dict[str, str]) -> dict[str, Paths]:
    """Reads an archive; costs of the graph take the place of the model's, negative."""
    found: dict[str, Paths] = {}
    for block in "\n".join(lines).strip("\n").split("\n\n"):
        name, *rows = block.split("\n")
        arcs, ends = [], {}
        for fields in (row.split() for row in rows):
            graph, acoustic, string = fields[-1].split(",")
            weight = [-float(acoustic), -float(graph), 0.0]
            length = float(len([t for t in string.split("_") if t]))
            if len(fields) == 4:
                arcs.append((int(fields[0]), int(fields[1]), names[fields[2]], weight, length))
            else:
                ends[int(fields[0])] = weight, length
        found[name] = paths(arcs, ends)
    return found


def read_slf(lines: list[str]) -> tuple[dict[str, str], Paths]:
    """Reads a lattice; returns its header and paths."""
    rows = [dict(field.split("=", 1) for field in line.split("\t")) for line in lines]
    header = {
        key: value for row in rows if not row.keys() & {"I", "J"} for key, value in row.items()
    }
    times = {int(row["I"]): float(row["t"]) for row in rows if "I" in row}
    assert len(times) == int(header["N"])
    arcs = []
    for row in (row for row in rows if "J" in row):
        source, target = int(row["S"]), int(row["E"])
        word = re.sub(r"\\(.)", r"\1", row["W"])
        scores = [float(row[key]) for key in "alr"]
        arcs.append((source, target, word, scores, times[target] - times[source]))
    assert len(arcs) == int(header["L"])
    last = len(times) - 1
    ends = {s: (scores, length) for s, t, word, scores, length in arcs if word == "!NULL"}
    assert all(t == last for _, t, word, _, _ in arcs if word == "!NULL")
    return header, paths([arc for arc in arcs if arc[2] != "!NULL"], ends)


@pytest.mark.parametrize("seed", range(10))
def test_all_paths_keep_their_scores_and_end_where_the_utterance_ends(seed: int) -> None:
    made = lattice(seed)
    wanted = expected(made)
    labels = {word: number for number, word in enumerate(WORDS, start=1)}
    lines = [*kaldi_text("u", made, labels), *kaldi_text("v", made, labels)]
    archive = read_kaldi(lines, {str(number): word for word, number in labels.items()})
    header, plain = read_slf([*slf("u", made, dict.fromkeys(made.scorers, 0.5), 0.4)])
    assert header == {
        "VERSION": "1.0", "UTTERANCE": "u", "acscale": "0.5", "lmscale": "0.5", "prscale": "0.5",
        "N": header["N"], "L": header["L"],
    }  # fmt: skip
    assert archive.keys() == {"u", "v"}
    assert archive["u"].keys() == plain.keys() == wanted.keys()
    for words, (acoustic, lm, pronunciation) in wanted.items():
        scores, times = archive["u"][words]
        assert scores == pytest.approx([acoustic, lm + pronunciation, 0.0], abs=2e-3)
        assert times == sorted(times)
        assert times[-1] == 40
        scores, seconds = plain[words]
        assert scores == pytest.approx([acoustic, lm, pronunciation], abs=2e-3)
        assert seconds == pytest.approx([0.01 * time for time in times], abs=2e-3)
    assert archive["v"] == archive["u"]


def decoded(run: Path, names: list[str]) -> None:
    """Writes the lattices of a decoded set; the last utterance has none."""
    place = RunFolder(run).decoded_set("words", "dev")
    graph = {"type": "graph", "weight": 2.0, "graph": "g"}
    node = {"type": "graph", "frames": "states", "lattices": True, "scorers": {
        "states": {"type": "states", "weight": 0.3}, "lm": {"type": "graph_lm", "weight": 1.0},
        "graph": graph}}  # fmt: skip
    line = NbestLine(id="", speaker="s", seconds=0.4, reference="", text="")
    lines = [replace(line, id=name).as_json() for name in names]
    write_lines(place.nbest, map(json.dumps, lines))
    write_lines(place.search, [json.dumps({"search": node, "fingerprint": "x"})])
    kept: list[dict[str, Any]] = [
        {"id": name, "lattice": lattice(number).as_json()} for number, name in enumerate(names[:-1])
    ]
    kept.append({"id": names[-1], "lattice": None})
    write_lattices(place.lattices, map(json.dumps, [{"fingerprint": "x"}, *kept]))


def test_lattices_of_a_decoded_set_are_exported(tmp_path: Path) -> None:
    decoded(tmp_path, ["a/b", "c", "lost"])
    options = ("--run", tmp_path, "--set", "dev", "--search", "words")
    told = asrkit("lattices", "export", tmp_path / "all.lat", "--to", "kaldi-text", *options)
    assert told.exit_code == 0, told.output
    assert "lattices of 2 utterances" in told.output
    assert "acoustic 0.3, lm 1, pronunciation 2" in told.output
    assert "left out: 1 utterances without a path, such as lost" in told.output
    table = (tmp_path / "all.lat.words.txt").read_text().splitlines()
    assert table[0] == "<eps> 0"
    names = {number: word for word, number in (line.split() for line in table)}
    found = read_kaldi((tmp_path / "all.lat").read_text().splitlines(), names)
    assert found["a/b"].keys() == expected(lattice(0)).keys()
    assert found["c"].keys() == expected(lattice(1)).keys()
    done = asrkit("lattices", "export", tmp_path / "slf", "--to", "slf", *options)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "slf").iterdir()) == ["a%2Fb.slf", "c.slf"]
    header, plain = read_slf((tmp_path / "slf" / "a%2Fb.slf").read_text().splitlines())
    assert header["UTTERANCE"] == "a/b"
    assert plain.keys() == expected(lattice(0)).keys()


def test_what_has_no_lattices_or_no_name_for_kaldi_is_refused(tmp_path: Path) -> None:
    options = ("--run", tmp_path, "--set", "dev", "--search", "words")
    none = asrkit("lattices", "export", tmp_path / "x", "--to", "slf", *options)
    assert none.exit_code == 2
    assert "lattices: true" in none.output
    with pytest.raises(UserError, match="'a b' can't be in an archive of Kaldi"):
        list(kaldi_text("a b", lattice(0), {}))
