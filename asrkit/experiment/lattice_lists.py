"""N-best lists of a decoded set with other weights: from its lattices, or in another order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from asrkit.decoding.decode import distinct
from asrkit.experiment.record import this_command
from asrkit.files import json_line, write_text
from asrkit.run_files import (
    NbestLine,
    SearchNote,
    Summary,
    WrittenHypothesis,
    read_nbest,
    read_run_file,
)
from asrkit.run_folder import DecodedSet
from asrkit.search.lattices import hypotheses_of
from asrkit.search.lengths import LengthNorm
from asrkit.text.tokenizers import Tokenizer
from asrkit.wfst.lattice_file import (
    NamedLattice,
    copy_lattices,
    lattices_fingerprint,
    read_lattices,
)


def has_lattices(folder: Path) -> bool:
    """Returns whether a decoded set has lattices that belong to its lists."""
    place = DecodedSet(folder)
    known = lattices_fingerprint(place.lattices)
    if known is None or not place.search.is_file():
        return False
    return known == read_run_file(place.search, SearchNote).fingerprint


def share_lattices(decoded: Path, out: Path) -> None:
    """Puts lattices next to lists that were made of them, or of their lists, with other weights.

    Args:
        decoded: Folder of a decoded set; nothing is done if it has no lattices.
        out: Folder of the lists.
    """
    fingerprint = read_run_file(DecodedSet(out).search, SearchNote).fingerprint
    if has_lattices(decoded) and fingerprint is not None:
        copy_lattices(DecodedSet(decoded).lattices, DecodedSet(out).lattices, fingerprint)


Relisting = Callable[[NbestLine], NbestLine]


def from_lattices(
    decoded: Path, weights: Mapping[str, float], tokenizer: Tokenizer, max_hypotheses: int
) -> Relisting:
    """Returns what makes the lists of a graph search with other weights, from its lattices.

    Args:
        decoded: Folder of a decoded set that has lattices.
        weights: By scorer.
        tokenizer: Turns labels into text.
        max_hypotheses: Most of an utterance.
    """
    lattices = dict(read_lattices(DecodedSet(decoded).lattices))
    return lambda line: _line(line, lattices.get(line.id), weights, tokenizer, max_hypotheses)


def in_other_order(
    before: Mapping[str, float], weights: Mapping[str, float], norm: LengthNorm
) -> Relisting:
    """Returns what makes the lists of a second pass with other weights, from those it has made.

    Args:
        before: The weights that lists were made with, by scorer.
        weights: The other ones.
        norm: What the second pass divides scores by.
    """
    changes = {n: weights.get(n, 0.0) - before.get(n, 0.0) for n in {*before, *weights}}

    def rescored(one: WrittenHypothesis) -> WrittenHypothesis:
        more = sum(change * one.scores[name] for name, change in changes.items() if change)
        return replace(one, score=one.score + more / norm.divisor(len(one.labels)))

    def reordered(line: NbestLine) -> NbestLine:
        found = sorted(map(rescored, line.hypotheses), key=lambda one: -one.score)
        return replace(line, text=found[0].text if found else "", hypotheses=found)

    return reordered


def relist(decoded: Path, out: Path, node: Any, relisting: Relisting) -> None:
    """Writes the n-best lists that a search with other weights finds, without decoding.

    Args:
        decoded: Folder of a decoded set.
        out: Folder of the new lists.
        node: The search with the other weights, by its spec.
        relisting: Makes the lists.
    """
    old, new = DecodedSet(decoded), DecodedSet(out)
    lines = [*map(relisting, read_nbest(old.nbest))]
    text = "".join(json_line(line.as_json()) + "\n" for line in lines)
    count = sum(len(line.hypotheses) for line in lines) / max(len(lines), 1)
    digest = hashlib.sha256(text.encode()).hexdigest()
    summary = replace(
        read_run_file(old.summary, Summary),
        hypotheses_per_utterance=round(count, 2),
        lists=digest,
    )
    before = read_run_file(old.search, SearchNote)
    depends_on = json.dumps([before.fingerprint, node], sort_keys=True)
    fingerprint = before.fingerprint and hashlib.sha256(depends_on.encode()).hexdigest()
    note = SearchNote(node, before.checkpoint, this_command(), fingerprint)
    out.mkdir(parents=True, exist_ok=True)
    for path in (*new.judgements, new.lattices, new.words):
        path.unlink(missing_ok=True)
    write_text(new.search, json.dumps(asdict(note), indent=2) + "\n")
    write_text(new.summary, json.dumps(asdict(summary), indent=2) + "\n")
    write_text(new.nbest, text)


def _line(
    line: NbestLine,
    lattice: NamedLattice | None,
    weights: Mapping[str, float],
    tokenizer: Tokenizer,
    max_hypotheses: int,
) -> NbestLine:
    found = [] if lattice is None else hypotheses_of(lattice, weights, max_hypotheses)
    texts = distinct(found, tokenizer)
    return replace(
        line,
        text=texts[0][0] if texts else "",
        hypotheses=[
            WrittenHypothesis(text, one.labels, one.score, one.scores) for text, one in texts
        ],
    )
