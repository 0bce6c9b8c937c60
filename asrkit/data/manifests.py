"""Manifests: one lhotse cut per utterance, as uncompressed JSON lines, validated when written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lhotse import CutSet
from lhotse.cut.data import DataCut

from asrkit.children import process_pool
from asrkit.data.demands import Demands
from asrkit.data.manifest_lines import read_cuts
from asrkit.data.set_facts import DUPLICATE_NAME, SetFacts
from asrkit.data.sources import Source as Source
from asrkit.data.sources import Unusable as Unusable
from asrkit.data.sources import inspect, read_header, with_channel
from asrkit.data_folder import DataFolder
from asrkit.errors import UserError
from asrkit.files import json_line, replaced
from asrkit.owners import owned
from asrkit.tables import read_rows, write_rows

log = logging.getLogger(__name__)


def write_manifest(
    data: Path,
    name: str,
    sources: Iterable[Source | Unusable],
    jobs: int = 1,
    demands: Demands = Demands(),  # noqa: B008 - has no state
) -> int:
    """Writes the manifest of a set as `write_set` does.

    Returns:
        The number of usable utterances.

    Raises:
        UserError: If no utterance can be used, or one is missing from a set that must be complete.
    """
    return write_set(data, name, sources, jobs, demands).count


def write_set(
    data: Path,
    name: str,
    sources: Iterable[Source | Unusable],
    jobs: int = 1,
    demands: Demands = Demands(),  # noqa: B008 - has no state
) -> SetFacts:
    """Writes DATA/manifests/NAME.jsonl; unusable utterances are listed in DATA/rejected/NAME.tsv.

    Args:
        data: Data folder.
        name: Name of the set.
        sources: Utterances, and rejected ones; taken one by one, so that a corpus is never in
            memory as a whole.
        jobs: Number of processes that check audio files.
        demands: What utterances must have.

    Returns:
        Statistics of the set.

    Raises:
        UserError: If no utterance can be used, or one is missing from a set that must be complete.
    """
    read_header.cache_clear()  # files may have changed since the last manifest
    facts = SetFacts()
    with (
        owned(manifest_path(data, name).parent, f"making manifest {name}"),
        replaced(manifest_path(data, name)) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        for result in _inspect_all(with_channel(sources, demands.channel), jobs):
            cut = facts.taken(result, demands)
            if cut is not None:
                file.write(json_line(cut.to_dict()) + "\n")
        write_unusable(rejected_path(data, name), facts.unusable)
        require_utterances(data, name, facts, demands)
    for line in facts.remarks(demands.sample_rate, rejected_path(data, name)):
        log.warning("%s: %s", name, line)
    return facts


def require_utterances(data: Path, name: str, facts: SetFacts, demands: Demands) -> None:
    """Checks that there are utterances, and all of them if a set must be complete.

    Raises:
        UserError: If not.
    """
    bad = facts.unusable
    first = f"{bad[0].id}: {bad[0].detail}" if bad else ""
    if not facts.count:
        raise UserError(
            f"set {name}: no utterance can be used" + (f"; the first: {first}" if bad else "")
        )
    if demands.whole and bad:
        raise UserError(
            f"set {name}: {len(bad)} of {facts.count + len(bad)} utterances can't be used, such as "
            f"{first}; all of them: {rejected_path(data, name)}. A score without them would be "
            "for another set: fix the corpus, or accept the rest (--allow-missing of recipes, no "
            "--whole of `asrkit data`), and scores will say what is missing"
        )


def _inspect_all(sources: Iterable[Source | Unusable], jobs: int) -> Iterator[DataCut | Unusable]:
    if jobs <= 1:
        yield from map(inspect, sources)
        return
    stream = iter(sources)
    with process_pool(jobs) as pool:
        while part := list(islice(stream, 4096)):
            yield from pool.map(inspect, part, chunksize=128)


def open_set(data: Path, names: list[str]) -> CutSet:
    """Returns the utterances of some sets of a data folder; see `OpenSets` to open several times.

    Raises:
        UserError: If the folder or a set is missing; names the sets that are there.
    """
    return CutSet.from_cuts([cut for name in names for cut in read_cuts(find_manifest(data, name))])


def find_manifest(data: Path, name: str) -> Path:
    """Returns the manifest of a set.

    Raises:
        UserError: If the folder or the set is missing; names the sets that are there.
    """
    path = existing_manifest(data, name)
    if path is None:
        raise UserError(
            f"there is no set {name!r} in {data}: {manifest_path(data, name)} is missing; sets "
            f"there: {', '.join(set_names(data)) or 'none'}; run the recipe's stage 1 first"
        )
    return path


def without(cuts: CutSet, unusable: Iterable[Unusable]) -> CutSet:
    """Returns the utterances that are not listed; of several with the same name, the first."""
    skipped = {u.id for u in unusable if u.reason != DUPLICATE_NAME}
    kept: dict[str, Any] = {}
    for cut in cuts:
        if cut.id not in skipped:
            kept.setdefault(cut.id, cut)
    return CutSet.from_cuts(kept.values())


def manifest_path(data: Path, name: str) -> Path:
    """Returns where the manifest of a set is."""
    return DataFolder(data).manifest(name)


def existing_manifest(data: Path, name: str) -> Path | None:
    """Returns the manifest of a set, which others may have compressed; None where there is none.

    Raises:
        UserError: If there are two.
    """
    return DataFolder(data).existing_manifest(name)


def set_names(data: Path) -> list[str]:
    """Returns the names of the sets of a data folder."""
    return DataFolder(data).set_names()


def rejected_path(data: Path, name: str) -> Path:
    """Returns the list of utterances left out of the manifest of a set."""
    return DataFolder(data).rejected(name)


def unusable_path(data: Path, name: str) -> Path:
    """Returns the list of utterances of a manifest that a spec can't use."""
    return DataFolder(data).unusable(name)


def doubtful_path(data: Path, name: str) -> Path:
    """Returns the list of utterances of a manifest that sound odd, but are used."""
    return DataFolder(data).doubtful(name)


def read_unusable(path: Path) -> list[Unusable]:
    """Returns the utterances of a list; none where it is missing."""
    if not path.is_file():
        return []
    return [Unusable(*[*row, "", ""][:3]) for row in read_rows(path) if row[0]]


def write_unusable(path: Path, unusable: Iterable[Unusable]) -> None:
    """Writes a list of utterances and what is wrong with them."""
    write_rows(path, ((entry.id, entry.reason, entry.detail) for entry in unusable))
