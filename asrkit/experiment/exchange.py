"""`asrkit alignments import` and `export`: alignments of other toolkits, and for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from asrkit.data.alignment_text import Symbols, write_text
from asrkit.data.alignments import Alignments, read_file
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.kaldi_archive import Integers, write_integers
from asrkit.errors import UserError
from asrkit.files import write_lines
from asrkit.hmm.hmm_folder import copy_hmm, digest_of, read_hmm
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import Outputs

Form = Literal["kaldi", "kaldi-text", "rasr", "text"]

log = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads alignments of other toolkits."""

    @property
    def count(self) -> int | None:
        """How many states there are, if that is known."""
        ...

    def __call__(self, path: Path) -> Iterator[tuple[str, Integers]]:
        """Yields the names and tied states of utterances in a file."""
        ...


@dataclass(frozen=True)
class Exchanged:
    """Alignments that were imported or exported.

    Args:
        path: The file that was written.
        utterances: How many there are.
        frames: Of all of them.
        symbols: What the symbols of frames are.
    """

    path: Path
    utterances: int
    frames: int
    symbols: str

    def lines(self) -> list[str]:
        """Returns the report as text."""
        return [f"{self.path}: {self.utterances} utterances, {self.frames} frames, {self.symbols}"]


def import_states(
    files: Sequence[Path],
    readers: Mapping[float, Reader],
    run: Path,
    set_name: str,
    states: int | None = None,
    hmm: Path | None = None,
    last_part: bool = False,
) -> Exchanged:
    """Writes RUN/align/SET.safetensors of another toolkit's alignments, one frame of features each.

    Args:
        files: What is read.
        readers: How, by the speeds that utterances then have.
        run: Folder that `data.alignments` then names; made if missing.
        set_name: The set.
        states: How many tied states there are; by default as many as the reader or the files know.
        hmm: Run folder whose HMM the states are of; the folder gets a copy.
        last_part: Whether utterances are called by what follows the last "/" of their names.

    Raises:
        UserError: If a file can't be read, an utterance is there twice, or has a state that is not.
    """
    found: dict[tuple[str, float], Symbols] = {}
    for speed, reader in readers.items():
        found |= _collected(files, reader, last_part, speed)
    own = None if hmm is None else read_hmm(RunFolder(hmm).hmm).num_states
    known = own, states, *(reader.count for reader in readers.values())
    given = next((count for count in known if count is not None), None)
    count = _number_of_states(found, given, files[0])
    folder = RunFolder(run)
    tree = "" if hmm is None else _with_hmm(folder, RunFolder(hmm).hmm)
    targets = FrameTargets(Outputs.states(count), rate="features")
    return _written(Alignments(targets, found, tree), folder.frames(set_name))


def _collected(
    files: Sequence[Path], reader: Reader, last_part: bool, speed: float
) -> dict[tuple[str, float], Symbols]:
    found: dict[tuple[str, float], Symbols] = {}
    for path in files:
        for name, symbols in reader(path):
            key = name.rsplit("/", 1)[-1] if last_part else name, speed
            if key in found:
                raise UserError(f"{path}: utterance {key[0]} is there twice")
            found[key] = symbols
    if not found:
        raise UserError(f"there are no alignments in {', '.join(map(str, files))}")
    return found


def _number_of_states(
    found: dict[tuple[str, float], Symbols], given: int | None, path: Path
) -> int:
    """Returns how many states there are: as many as are given, or as there seem to be."""
    filled = {name: one for (name, _), one in found.items() if len(one)}
    largest = max((int(one.max()) for one in filled.values()), default=0)
    count = largest + 1 if given is None else given
    for name, states in filled.items():
        wrong = states[(states < 0) | (states >= count)]
        if len(wrong):
            raise UserError(
                f"{path}: state {wrong[0]} of utterance {name} is not one of {count}: "
                f"0 to {count - 1}"
            )
    return count


def _with_hmm(folder: RunFolder, hmm: Path) -> str:
    """Copies an HMM into a folder; returns the digest of its tree.

    Raises:
        UserError: If the folder has one of another tree.
    """
    tree = digest_of(hmm)
    if not folder.hmm.is_dir():
        copy_hmm(hmm, folder.hmm)
    elif digest_of(folder.hmm) != tree:
        raise UserError(f"{folder.hmm} has another tree than {hmm}: give another --run folder")
    return tree


def import_text(path: Path, run: Path, set_name: str) -> Exchanged:
    """Writes RUN/align/SET.safetensors of text that asrkit exported.

    Raises:
        UserError: If it can't be read.
    """
    found = read_file(path)
    if found is None:
        raise UserError(
            f"{path}:1 does not say what the symbols are: expected a line that begins with '# ', "
            "as `asrkit alignments export --to text` writes it"
        )
    return _written(found, RunFolder(run).frames(set_name))


def _written(found: Alignments, path: Path) -> Exchanged:
    found.write(path)
    return _told(found, path)


def _told(found: Alignments, path: Path) -> Exchanged:
    frames = sum(map(len, found.symbols.values()))
    return Exchanged(path, len(found.symbols), frames, found.targets.told())


def export_alignments(
    run: Path, set_name: str, form: Form, out: Path, speed: float = 1.0
) -> Exchanged:
    """Writes the alignments of a set for another toolkit.

    Args:
        run: Folder of a run.
        set_name: The set.
        form: Kaldi's archive, binary or text; RASR's tied states as text; or text of asrkit, which
            has all speeds.
        out: The file.
        speed: Which alignments are taken.

    Raises:
        UserError: If there are none, or not at this speed.
    """
    folder = RunFolder(run)
    path = folder.frames(set_name)
    older = folder.older_frames(set_name)
    found = read_file(older if older.is_file() and not path.is_file() else path)
    if found is None:
        raise UserError(f"{older} is of a version that did not say what symbols are: align again")
    if form == "text":
        write_text(out, found.targets, found.symbols)
        return _told(found, out)
    kept = {key: one for key, one in sorted(found.symbols.items()) if key[1] == speed}
    if not kept:
        speeds = sorted({of for _, of in found.symbols})
        raise UserError(f"{path} has no alignments at speed {speed:g}, but at {speeds}")
    if len(kept) < len(found.symbols):
        log.info("%d alignments of other speeds are left out", len(found.symbols) - len(kept))
    vectors = [(name, one.astype(np.int32)) for (name, _), one in kept.items()]
    if form == "rasr":
        frames = (
            f"{name}\t{frame}\t{state}"
            for name, one in vectors
            for frame, state in enumerate(one.tolist())
        )
        write_lines(out, ["# segment\tframe\ttied state", *frames])
    else:
        write_integers(out, vectors, binary=form == "kaldi")
    return _told(Alignments(found.targets, kept), out)
