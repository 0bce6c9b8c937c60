"""Decodes a set: a line of n-best hypotheses per utterance, and a summary with speeds."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import Progress

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.decoding.lattices import AlignsWords, LatticeResults
from asrkit.decoding.partial_results import PartialResults
from asrkit.run_files import NbestLine, SearchNote, SetFacts, Summary, WrittenHypothesis
from asrkit.run_folder import DecodedSet
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis
from asrkit.search.search import LoadedSearch
from asrkit.terminal import console
from asrkit.text.tokenizers import Tokenizer

DecodeBatch = tuple[Batch, list[UtteranceInfo]]

log = logging.getLogger(__name__)


class DecodableModel(Protocol):
    """A model, as far as decoding needs to know it."""

    def eval(self) -> object:
        """Switches dropout and the like off."""
        ...

    def encode(self, signal: torch.Tensor, lengths: torch.Tensor) -> EncodedFrames:
        """Returns the frames of samples."""
        ...


def decode(
    model: DecodableModel,
    batches: Iterable[DecodeBatch],
    tokenizer: Tokenizer,
    search: LoadedSearch,
    out: Path,
    device: torch.device,
    total: int,
    fingerprint: str = "",
    max_hypotheses: int = 10,
    facts: SetFacts | None = None,
    note: SearchNote | None = None,
    aligned: AlignsWords | None = None,
) -> Summary:
    """Writes OUT/nbest.jsonl and OUT/summary.json, and lattices if the search gives some.

    An interrupted call continues where it stopped.

    Args:
        model: A trained model.
        batches: All utterances of the set.
        tokenizer: Turns labels into text.
        search: Finds the hypotheses.
        out: Folder to write to.
        device: Where the model is.
        total: Number of utterances, for the progress bar.
        fingerprint: Of everything the result depends on; lines of another one are not reused.
        max_hypotheses: Most hypotheses that are written per utterance; no two have the same words.
        facts: What the set is.
        note: How the lists are found; it replaces an older one with the lists. What was said of
            older lists is removed.
        aligned: Tells when the words of hypotheses are said, for searches that give lattices.

    Returns:
        The summary; its times include those of the interrupted calls.

    Raises:
        UserError: If a file cannot be written.
    """
    model.eval()
    place = DecodedSet(out)
    results = PartialResults(place.partial, fingerprint)
    lattices = None
    if search.search.gives_lattices:
        lattices = LatticeResults(place, fingerprint, search.lattice_weights, aligned)
    names: list[str] = []
    with Progress(console=console(), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("decoding", total=total)
        for batch, infos in batches:
            if any(info.id not in results for info in infos):
                found, spent = _search(model, batch, infos, search, device)
                spent["audio"] = sum(info.seconds for info in infos)
                lines = [
                    _line(info, distinct(hypotheses, tokenizer)[:max_hypotheses])
                    for info, hypotheses in zip(infos, found, strict=True)
                ]
                if lattices is not None:  # before the lists, as these say what is done
                    lattices.add(batch, infos, lines, search.take_lattices())
                results.add([line.as_json() for line in lines], spent)
            names.extend(info.id for info in infos)
            progress.advance(task, len(infos))
    lines_by_name = [results.lines[name] for name in sorted(names)]
    _tell_empty(lines_by_name)
    nbest = "".join(line + "\n" for line in lines_by_name)
    digest = hashlib.sha256(nbest.encode()).hexdigest()
    summary = replace(_summary(lines_by_name, results.spent), set=facts, lists=digest)
    files = {place.nbest: nbest, place.summary: _as_text(summary)}
    if note is not None:
        files[place.search] = _as_text(note)
    if lattices is not None:
        lattices.finish(sorted(names))
    # DecoderOf the lists there is never a judgement of others, or the settings of others.
    void = (*place.judgements, *([place.lattices, place.words] if lattices is None else []))
    results.finish(files, void)
    return summary


def _tell_empty(lines: Sequence[str]) -> None:
    """Says which utterances have no hypothesis at all."""
    found = [entry["id"] for entry in map(json.loads, lines) if not entry["hypotheses"]]
    if found:
        log.warning(
            "%d of %d utterances have no hypothesis, such as %s: no path was left within the beam "
            "of the search, or they are too short for one",
            len(found), len(lines), found[0],
        )  # fmt: skip


def _as_text(record: Summary | SearchNote) -> str:
    return json.dumps(asdict(record), indent=2) + "\n"


def _search(
    model: DecodableModel,
    batch: Batch,
    infos: Sequence[UtteranceInfo],
    search: LoadedSearch,
    device: torch.device,
) -> tuple[list[list[Hypothesis]], dict[str, float]]:
    """Returns the n-best lists of a batch, and the seconds of encoder, search and scorers."""
    before = dict(search.seconds)
    start = time.perf_counter()
    with torch.inference_mode():
        encoded = model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
        if device.type == "cuda":
            torch.cuda.synchronize()
        encoded_at = time.perf_counter()
        found = search.run(encoded, [info.id for info in infos])
    spent = {"encoder": encoded_at - start, "search": time.perf_counter() - encoded_at}
    for name, seconds in search.seconds.items():
        spent[f"scorer {name}"] = seconds - before.get(name, 0.0)
    return found, spent


def distinct(
    hypotheses: Sequence[Hypothesis], tokenizer: Tokenizer
) -> list[tuple[str, Hypothesis]]:
    """Returns the hypotheses of an n-best list whose words no better one has, with their texts.

    Searches tell hypotheses apart by their labels; one text may be spelled by several label
    sequences, which would fill a list with what nobody can tell apart. Scores stay as they are.

    Args:
        hypotheses: Best first.
        tokenizer: Turns labels into text.
    """
    found: dict[tuple[str, ...], tuple[str, Hypothesis]] = {}
    for hypothesis in hypotheses:
        text = tokenizer.decode(hypothesis.labels)
        found.setdefault(tuple(text.split()), (text, hypothesis))
    return list(found.values())


def _line(info: UtteranceInfo, hypotheses: Sequence[tuple[str, Hypothesis]]) -> NbestLine:
    return NbestLine(
        id=info.id,
        speaker=info.speaker,
        seconds=info.seconds,
        reference=info.reference,
        transcribed=info.transcribed,
        text=hypotheses[0][0] if hypotheses else "",
        hypotheses=[
            WrittenHypothesis(text, found.labels, found.score, found.scores)
            for text, found in hypotheses
        ],
    )


def _summary(lines: Sequence[str], spent: Mapping[str, float]) -> Summary:
    audio = spent.get("audio", 0.0)
    encoder, search = spent.get("encoder", 0.0), spent.get("search", 0.0)
    counts = [len(json.loads(line)["hypotheses"]) for line in lines]
    scorers = {
        name.removeprefix("scorer "): round(seconds, 3)
        for name, seconds in spent.items()
        if name.startswith("scorer ")
    }
    return Summary(
        utterances=len(lines),
        hypotheses_per_utterance=round(sum(counts) / max(len(counts), 1), 2),
        audio_seconds=round(audio, 2),
        seconds=round(encoder + search, 3),
        rtf=round((encoder + search) / audio, 5) if audio else None,
        encoder_seconds=round(encoder, 3),
        search_seconds=round(search, 3),
        scorer_seconds=scorers,
        threads=torch.get_num_threads(),
    )
