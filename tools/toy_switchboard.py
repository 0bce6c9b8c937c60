"""Conversations in the layout of Switchboard and Hub5'00: two-channel audio, ISIP transcripts, STM.

Used by make_toy_corpus.py, which synthesises the utterances or takes them from LibriSpeech.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import soundfile
import torch
import torchaudio
from numpy.typing import NDArray

from asrkit.files import matching, read_lines, write_lines

RATE = 8000
TURNS = 30
"""Largest number of utterances in a conversation."""
GAP = 0.3
"""Seconds of silence between turns, on average."""
CONTRACTIONS = {"it's": "IT IS", "i'm": "I AM"}
GLM = """;; Mapping rules of a toy corpus, in the notation of NIST's.
* name "toy_hub5.glm"
* desc "Rules for a toy corpus"
* format = 'NIST1'
* max_nrules = '100'
* copy_no_hit = 'T'
* case_sensitive = 'F'
;; Hesitations and backchannels
UH      =>  %HESITATION     / [ ] __ [ ] ;; hesitation token
UM      =>  %HESITATION     / [ ] __ [ ] ;; hesitation token
UH-HUH  =>  %BCACK          / [ ] __ [ ] ;; affirmative token
;; INPUT_DEPENDENT_APPLICATION = "ctm"
;; Contractions: the reference has the one that was said.
[IT'S] => [{IT IS / IT HAS}] / [ ] __ [ ]
[I'M] => [I AM] / [ ] __ [ ]
"""
STM_HEADER = """;; CATEGORY "0" "" ""
;; LABEL "O" "Overall" "Overall"
;; CATEGORY "1" "Hub5 Corpus" "Where the conversations are from"
;; LABEL "en" "CallHome" "CallHome English"
;; LABEL "sw" "Swbd" "Switchboard"
;; CATEGORY "2" "Sex" "Sex of the speaker"
;; LABEL "F" "Female" "Female speakers"
;; LABEL "M" "Male" "Male speakers"
;; CATEGORY "3" "Corpus and sex" ""
;; LABEL "en-F" "CH F" "CallHome, female speakers"
;; LABEL "en-M" "CH M" "CallHome, male speakers"
;; LABEL "sw-F" "SWB F" "Switchboard, female speakers"
;; LABEL "sw-M" "SWB M" "Switchboard, male speakers"
"""


@dataclass(frozen=True)
class Caller:
    """One side of a conversation: number of the caller, and F or M."""

    number: str
    sex: str


@dataclass(frozen=True)
class Turn:
    """An utterance without a break: words in lower case and 8 kHz samples (N,)."""

    words: str
    samples: NDArray[np.int16]


@dataclass(frozen=True)
class Segment:
    """A turn with its position: side 0 or 1, start and end in seconds."""

    side: int
    start: float
    end: float
    words: str


@dataclass(frozen=True)
class Conversation:
    """Two callers, their turns with times, and both channels (N, 2)."""

    callers: Sequence[Caller]
    segments: list[Segment]
    samples: NDArray[np.int16]


def spoken_at(samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """Returns samples (N,) at 8 kHz."""
    played = torchaudio.functional.resample(torch.from_numpy(samples).float(), rate, RATE)
    result: NDArray[np.int16] = played.round().clamp(-32768, 32767).to(torch.int16).numpy()
    return result


def converse(callers: Sequence[Caller], turns: Sequence[Turn], draw: random.Random) -> Conversation:
    """Returns a conversation in which two callers take turns; some turns overlap a little."""
    place, segments = int(GAP * RATE), []
    starts = []
    for number, turn in enumerate(turns):
        starts.append(place)
        end = place + len(turn.samples)
        segments.append(Segment(number % 2, place / RATE, end / RATE, turn.words))
        place = end + int(draw.uniform(-0.2, 2) * GAP * RATE)
    samples = np.zeros((max(int(s.end * RATE) for s in segments) + RATE, 2), np.int16)
    for start, segment, turn in zip(starts, segments, turns, strict=True):
        samples[start : start + len(turn.samples), segment.side] = turn.samples
    return Conversation(callers, segments, samples)


def write_switchboard(
    out: Path, train: Sequence[Conversation], test: Sequence[Conversation], seed: int
) -> None:
    """Writes LDC97S62 with the ISIP transcripts, and LDC2002S09 with LDC2002T43 below a folder."""
    draw = random.Random(f"{seed} notation")
    rows: dict[str, list[str]] = {"conv_tab.csv": [], "caller_tab.csv": []}
    for number, conversation in enumerate(train, 2001):
        write_audio(out / "LDC97S62" / "swb1" / f"sw0{number}.sph", conversation.samples)
        folder = out / "swb_ms98_transcriptions" / str(number)[:2] / str(number)
        for side, name in enumerate("AB"):
            lines = transcript(conversation, side, f"sw{number}{name}-ms98-a", draw)
            write(folder / f"sw{number}{name}-ms98-a-trans.text", lines)
        a, b = conversation.callers
        rows["conv_tab.csv"].append(f'{number}, "Y", {a.number}, {b.number}, 301, 910304, 1200')
        rows["caller_tab.csv"] += [f"{c.number}, 1, Y, {SEX[c.sex]}, 1960, MIXED" for c in (a, b)]
    for name, lines in rows.items():
        write(out / "LDC97S62" / "doc" / name, sorted(set(lines)))
    stm = STM_HEADER.rstrip("\n").split("\n")
    for number, conversation in enumerate(test):
        corpus = ("sw", "en")[number % 2]
        name = f"{corpus}_{4000 + number}"
        write_audio(out / "LDC2002S09" / "english" / f"{name}.sph", conversation.samples)
        stm += stm_lines(conversation, name, corpus)
    reference = out / "LDC2002T43" / "reference"
    write(reference / "hub5e00.english.000405.stm", stm)
    write(reference / "en20000405_hub5.glm", GLM.rstrip("\n").split("\n"))


SEX = {"F": "FEMALE", "M": "MALE"}


def write_audio(path: Path, samples: NDArray[np.int16]) -> None:
    """Writes samples (N, channels) as mu-law SPHERE."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, format="NIST", subtype="ULAW")


def write(path: Path, lines: Sequence[str]) -> None:
    """Writes a text file."""
    write_lines(path, lines)


def transcript(conversation: Conversation, side: int, name: str, draw: random.Random) -> list[str]:
    """Returns the ISIP transcript of one side, including silence between its turns."""
    parts, place = [], 0.0
    for segment in conversation.segments:
        if segment.side == side:
            parts.append((place, segment.start, "[silence]"))
            parts.append((segment.start, segment.end, notation(segment.words, draw)))
            place = segment.end
    parts.append((place, len(conversation.samples) / RATE, "[silence]"))
    return [
        f"{name}-{number:04d} {start:.6f} {end:.6f} {words}"
        for number, (start, end, words) in enumerate(parts, 1)
    ]


def notation(words: str, draw: random.Random) -> str:
    """Returns words in ISIP notation: some laughed, coined, mispronounced or with noises."""
    written = []
    for word in words.split():
        marks = [f"[laughter-{word}]", f"{{{word}}}", f"{word}_1", f"[{word}/{word}s]"]
        marks += [f"[noise] {word}", f"{word} [vocalized-noise]", f"<b_aside> {word} <e_aside>"]
        written.append(draw.choice(marks) if draw.random() < 0.1 else word)
    return " ".join(written)


def stm_lines(conversation: Conversation, name: str, corpus: str) -> list[str]:
    """Returns a conversation in NIST's notation: contractions expanded, hesitations optional."""
    lines = []
    for segment in sorted(conversation.segments, key=lambda s: (s.side, s.start)):
        side, sex = "AB"[segment.side], conversation.callers[segment.side].sex
        words = [CONTRACTIONS.get(word, word.upper()) for word in segment.words.split()]
        text = " ".join("(%HESITATION)" if word == "UH" else word for word in words)
        place = f"{name} {side} {name}_{side} {segment.start:.3f} {segment.end:.3f}"
        lines.append(f"{place} <O,{corpus},{sex},{corpus}-{sex}> {text}")
    return lines


def relay_switchboard(source: Path, out: Path, utterances: int | None, seed: int) -> int:
    """Makes conversations between readers of LibriSpeech; returns the number of utterances.

    Neighbouring readers of a part are the two sides; parts named train are for training, those
    named test for testing.

    Raises:
        click.ClickException: If there is no such part.
    """
    made: dict[str, list[Conversation]] = {}
    for name in ("train", "test"):
        parts = [path for path in matching(source, f"{name}*") if path.is_dir()]
        if not parts:
            raise click.ClickException(f"{source} has no folder {name}*, such as train-clean-5")
        share = None if utterances is None else max(utterances // (1 if name == "train" else 8), 2)
        made[name] = list(dialogues(parts[0], share, random.Random(f"{seed} {name}")))
    write_switchboard(out, made["train"], made["test"], seed)
    return sum(len(c.segments) for part in made.values() for c in part)


def dialogues(part: Path, count: int | None, draw: random.Random) -> Iterator[Conversation]:
    """Yields conversations between neighbouring readers of a part of LibriSpeech."""
    sexes = read_sexes(part.parent / "SPEAKERS.TXT")
    folders = (path for path in matching(part, "*") if path.is_dir())
    readers = sorted(folders, key=lambda path: int(path.name))
    pairs = list(zip(readers[::2], readers[1::2], strict=False))
    share = None if count is None else max(count // len(pairs), 2)
    for pair in pairs:
        callers = [Caller(path.name, sexes.get(path.name, "M")) for path in pair]
        sides = [utterances_of(path) for path in pair]
        turns = [utterance for both in zip(*sides, strict=False) for utterance in both][:share]
        for first in range(0, len(turns), TURNS):
            some = [Turn(words, read(path)) for path, words in turns[first : first + TURNS]]
            yield converse(callers, some, draw)


def read_sexes(path: Path) -> dict[str, str]:
    """Returns the sex of each reader, if LibriSpeech's table is there."""
    if not path.is_file():
        return {}
    rows = [line.split("|") for line in read_lines(path)]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) > 1 and row[0][:1] != ";"}


def utterances_of(reader: Path) -> list[tuple[Path, str]]:
    """Returns the audio files and words of a reader."""
    found = []
    for path in matching(reader, "*/*.trans.txt"):
        for line in read_lines(path):
            name, _, words = line.partition(" ")
            found.append((path.with_name(f"{name}.flac"), words.lower()))
    return found


def read(path: Path) -> NDArray[np.int16]:
    """Returns the samples (N,) of a file at 8 kHz."""
    samples, rate = soundfile.read(path, dtype="int16")
    return spoken_at(samples, rate)
