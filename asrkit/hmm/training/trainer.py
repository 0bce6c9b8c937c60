"""Trains all stages of a folder, or continues with those that are missing.

FOLDER/settings.json       what was chosen
FOLDER/lexicon.txt         pronunciations of the words that were trained on
FOLDER/STAGE/              the model, see `asrkit.hmm.model`, and
    alignments.safetensors the states of all frames of the speech, by this model
    transforms.safetensors speakers' transforms; stage sat only
    iterations.jsonl       a line per iteration
    stage.json             what it came to; there once the stage is complete
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from asrkit.errors import UserError
from asrkit.files import json_line, write_text
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.speech import Speech
from asrkit.hmm.topology import Phones
from asrkit.hmm.training.em import forget_progress, write_all
from asrkit.hmm.training.given import Given
from asrkit.hmm.training.settings import Settings
from asrkit.hmm.training.stages import (
    Trained,
    Work,
    adapted,
    monophones,
    projected,
    triphones,
)
from asrkit.owners import owned
from asrkit.records import read_json

STAGES: dict[str, Callable[[Work], Trained]] = {
    "mono": monophones,
    "tri": triphones,
    "lda_mllt": projected,
    "sat": adapted,
}
_PARTS = {"mono": "monophones", "tri": "triphones", "lda_mllt": "projected", "sat": "adapted"}

log = logging.getLogger(__name__)


class StageFacts(TypedDict):
    """stage.json."""

    inputs: str
    states: int
    gaussians: int
    log_likelihood: float
    not_aligned: int
    seconds: float


def train_mixtures(
    folder: Path,
    speech: Speech,
    lexicon: Lexicon,
    settings: Settings,
    jobs: int = 1,
    last: str = "sat",
    complete: Callable[[str, StageFacts], None] | None = None,
    given: Given = Given(),  # noqa: B008 - has no state
) -> dict[str, StageFacts]:
    """Trains the stages that are not there yet, or were made of something else.

    Args:
        folder: Where they are.
        speech: What is trained on; a stage is kept as long as names, words and audio are the same.
        lexicon: How its words are pronounced.
        settings: What is chosen.
        jobs: Threads.
        last: The last stage that is wanted.
        complete: Called with every stage that is there, as soon as it is.
        given: Questions of trees and times of words, if users have them.

    Returns:
        Facts of every stage, in order.

    Raises:
        UserError: If a word has no pronunciation and that is not allowed, the stage is unknown, or
            another process works in the folder.
    """
    if last not in STAGES:
        raise UserError(f"there is no stage {last!r} of training; stages: {', '.join(STAGES)}")
    own = _own_lexicon(speech, lexicon, settings)
    phones = Phones(own.phones)
    compiler = GraphCompiler(own, phones, settings.silence, settings.unknown_as_noise)
    work = Work(folder, speech, compiler, phones, settings, jobs, given)
    facts, inputs = {}, _first_inputs(work)
    with owned(folder, "the training of Gaussian mixtures"):
        write_text(folder / "settings.json", json.dumps(asdict(settings), indent=2) + "\n")
        own.write(folder / "lexicon.txt")
        for name in list(STAGES)[: list(STAGES).index(last) + 1]:
            # Where nothing is given, digests are those of older versions.
            inputs = _digest([inputs, asdict(settings)[_PARTS[name]], *given.of_stage(name)])
            facts[name] = _done(folder / name, inputs) or _train(work, name, inputs)
            if complete is not None:
                complete(name, facts[name])
    return facts


def _own_lexicon(speech: Speech, lexicon: Lexicon, settings: Settings) -> Lexicon:
    """Returns the lexicon of the transcripts' words; says which are lacking."""
    words = [word for one in speech.utterances for word in one.words]
    coverage = lexicon.coverage(words)
    if coverage.missing and not settings.unknown_as_noise:
        raise UserError(
            f"{coverage.told()}; add them to {lexicon.source}, let a G2P model pronounce them, or "
            "take them as noise (unknown_as_noise)"
        )
    if coverage.missing:
        log.warning("%s; they are trained as noise", coverage.told())
    return lexicon.restricted(words)


def _done(folder: Path, inputs: str) -> StageFacts | None:
    """Returns the facts of a stage that is complete and made of the same; clears others."""
    path = folder / "stage.json"
    started = folder / "inputs.txt"
    if path.is_file():
        facts = read_json(path, StageFacts)
        if facts["inputs"] == inputs:
            log.info("stage %s is complete", folder.name)
            return facts
        log.warning("stage %s was made of other data or settings: again", folder.name)
        path.unlink()
    if started.is_file() and started.read_text(encoding="utf-8").strip() != inputs:
        forget_progress(folder)
    write_text(started, inputs + "\n")
    return None


def _train(work: Work, name: str, inputs: str) -> StageFacts:
    began, folder = time.monotonic(), work.folder / name
    progress, features = STAGES[name](work)
    write_all(folder, progress, features)
    facts = StageFacts(
        inputs=inputs,
        states=progress.model.tree.num_states,
        gaussians=len(progress.model.mixtures),
        log_likelihood=progress.lines[-1]["log_likelihood"],
        not_aligned=len(work.speech.utterances) - len(progress.alignments),
        seconds=round(time.monotonic() - began, 1),
    )
    write_text(folder / "stage.json", json_line(facts) + "\n")
    forget_progress(folder)
    log.info("stage %s: %s", name, json_line(facts))
    return facts


def _first_inputs(work: Work) -> str:
    """Returns a digest of all that every stage depends on.

    Older versions took the frames in place of the audio; what they have trained is kept.
    """
    by_frames = _inputs(work, zlib.crc32(work.speech.frames.numpy().tobytes()))
    began = work.folder / "mono" / "inputs.txt"
    older = _digest([by_frames, asdict(work.settings)[_PARTS["mono"]]])
    if began.is_file() and began.read_text(encoding="utf-8").strip() == older:
        return by_frames
    return by_frames if work.speech.heard is None else _inputs(work, work.speech.heard)


def _inputs(work: Work, heard: int) -> str:
    parts = asdict(work.settings)
    shared = {key: value for key, value in parts.items() if key not in _PARTS.values()}
    entries = sorted((word, str(found)) for word, found in work.compiler.lexicon.items())
    said = [[one.name, one.speaker, one.words] for one in work.speech.utterances]
    return _digest([shared, entries, heard, said])


def _digest(value: object) -> str:
    return f"{zlib.crc32(json.dumps(value, default=str).encode()):08x}"
