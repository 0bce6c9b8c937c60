"""Decodes a set: a line of n-best hypotheses per utterance, and a summary with speeds."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from rich.console import Console
from rich.progress import Progress

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.decoding.interfaces import Hypothesis
from asrkit.decoding.search import EncodedFrames, ScoringHead, Search
from asrkit.text.tokenizers import Tokenizer

DecodeBatch = tuple[Batch, list[UtteranceInfo]]


class DecodableModel(Protocol):
    """A model, as far as decoding needs to know it."""

    def encode(self, signal: torch.Tensor, lengths: torch.Tensor) -> EncodedFrames:
        """Returns the frames of samples."""
        ...

    def named_heads(self) -> Mapping[str, ScoringHead]:
        """Returns the heads by name."""
        ...


def decode(
    model: DecodableModel,
    batches: Iterable[DecodeBatch],
    tokenizer: Tokenizer,
    search: Search,
    out: Path,
    device: torch.device,
    total: int,
    fingerprint: str = "",
    max_hypotheses: int = 10,
) -> dict[str, Any]:
    """Writes OUT/nbest.jsonl and OUT/summary.json; an interrupted call goes on where it stopped.

    Args:
        model: A trained model in evaluation mode.
        batches: All utterances of the set.
        tokenizer: Turns labels into text.
        search: Finds the hypotheses.
        out: Folder to write to.
        device: Where the model is.
        total: Number of utterances, for the progress bar.
        fingerprint: Of everything the result depends on; lines of another one are not reused.
        max_hypotheses: Most hypotheses that are written per utterance.

    Returns:
        The summary.
    """
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "nbest.partial.jsonl"
    done = _done(partial, fingerprint)
    clock = {"encoder": 0.0, "search": 0.0, "audio": 0.0}
    console = Console(stderr=True)
    with (
        partial.open("a" if done else "w", encoding="utf-8") as file,
        Progress(console=console, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task("decoding", total=total, completed=len(done))
        if not done:
            file.write(json.dumps({"fingerprint": fingerprint}) + "\n")
        for batch, infos in batches:
            if any(info.id not in done for info in infos):
                results = _search(model, batch, search, device, clock)
                _write(file, infos, results, tokenizer, done, max_hypotheses)
                clock["audio"] += sum(info.seconds for info in infos)
            progress.advance(task, len(infos))
    return _finish(partial, out, clock, search)


def _search(
    model: DecodableModel,
    batch: Batch,
    search: Search,
    device: torch.device,
    clock: dict[str, float],
) -> list[list[Hypothesis]]:
    start = time.perf_counter()
    with torch.inference_mode():
        encoded = model.encode(batch.signal.to(device), batch.signal_lengths.to(device))
        if device.type == "cuda":
            torch.cuda.synchronize()
        encoded_at = time.perf_counter()
        results = search.run(model.named_heads(), encoded)
    clock["encoder"] += encoded_at - start
    clock["search"] += time.perf_counter() - encoded_at
    return results


def _write(
    file: TextIO,
    infos: Sequence[UtteranceInfo],
    results: Sequence[Sequence[Hypothesis]],
    tokenizer: Tokenizer,
    done: set[str],
    max_hypotheses: int,
) -> None:
    for info, found in zip(infos, results, strict=True):
        if info.id in done:
            continue
        hypotheses = [
            {
                "text": tokenizer.decode(hypothesis.labels),
                "labels": hypothesis.labels,
                "score": hypothesis.score,
                "scores": hypothesis.scores,
            }
            for hypothesis in found[:max_hypotheses]
        ]
        line = {
            "id": info.id,
            "speaker": info.speaker,
            "seconds": info.seconds,
            "reference": info.reference,
            "text": hypotheses[0]["text"] if hypotheses else "",
            "hypotheses": hypotheses,
        }
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()


def _done(partial: Path, fingerprint: str) -> set[str]:
    """Returns the utterances that an interrupted call has decoded; cuts an unfinished last line."""
    if not partial.is_file():
        return set()
    lines = partial.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if not whole or json.loads(whole[0]).get("fingerprint") != fingerprint:
        return set()
    if len(whole) < len(lines):
        partial.write_text("".join(whole), encoding="utf-8")
    return {json.loads(line)["id"] for line in whole[1:]}


def _finish(partial: Path, out: Path, clock: dict[str, float], search: Search) -> dict[str, Any]:
    lines = partial.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    target = out / "nbest.partial"
    target.write_text("".join(sorted(lines)), encoding="utf-8")
    audio, spent = clock["audio"], clock["encoder"] + clock["search"]
    summary: dict[str, Any] = {
        "utterances": len(lines),
        "audio_seconds": round(audio, 2),
        "seconds": round(spent, 3),
        "rtf": round(spent / audio, 5) if audio else None,
        "encoder_seconds": round(clock["encoder"], 3),
        "search_seconds": round(clock["search"], 3),
        "scorer_seconds": {name: round(s, 3) for name, s in search.scorer_seconds.items()},
        "threads": torch.get_num_threads(),
    }
    written = out / "summary.partial"
    written.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    target.replace(out / "nbest.jsonl")
    written.replace(out / "summary.json")
    partial.unlink()
    return summary
