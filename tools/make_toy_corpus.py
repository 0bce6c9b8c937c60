#!/usr/bin/env python3
"""Makes a small corpus of synthesised speech in exactly the layout of a real one.

    python tools/make_toy_corpus.py --layout librispeech --out toy/corpus
    python tools/make_toy_corpus.py --layout an4 --out toy/corpus
    python tools/make_toy_corpus.py --layout tedlium2 --out toy/corpus
    python tools/make_toy_corpus.py --layout switchboard --out toy/corpus
    python tools/make_toy_corpus.py --layout tedlium2 --source CORPORA --out relaid
    python tools/make_toy_corpus.py --layout switchboard --source CORPORA --out relaid

The last two take real speech from the folder that holds LibriSpeech instead: a chapter becomes a
talk, and readers talk to each other on the telephone.

Ten voices of eSpeak NG (the PyPI package espeakng-loader) speak short commands of a small
vocabulary, each with its own pitch and speed. The same options give the same corpus, sample by
sample.
"""

from __future__ import annotations

import ctypes
import gzip
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
import torch
import torchaudio
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from asrkit.files import matching, read_lines
from asrkit.utf8 import use_utf8
from tools.toy_switchboard import (
    TURNS,
    Caller,
    Conversation,
    Turn,
    converse,
    relay_switchboard,
    spoken_at,
    write_switchboard,
)

SAMPLE_RATE = 16000
VERBS = ["START", "STOP", "OPEN", "CLOSE", "REPEAT", "DELETE", "ENTER"]
OBJECTS = ["WINDOW", "DOOR", "FILE", "LETTER", "MUSIC", "ALARM"]
NUMBERS = ["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"]
# Voices without breath noise, which would differ each time.
MEN = ("m1", "m2", "m3", "m5", "m7")
WOMEN = ("f1", "f4", "Annie", "linda", "belinda")
VARIANTS = tuple(name for pair in zip(MEN, WOMEN, strict=True) for name in pair)
TEXT_LINES = 1000
"""Number of sentences in the text for language models."""
SYNCHRONOUS, RATE, PITCH = 2, 1, 3  # constants of espeak-ng/speak_lib.h


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker."""

    number: int
    variant: str
    rate: int
    pitch: int

    @property
    def sex(self) -> str:
        """F or M, as listed in corpora."""
        return "F" if self.variant in WOMEN else "M"


class Synthesizer:
    """Speaks text with eSpeak NG.

    Raises:
        click.ClickException: If espeakng-loader is not installed.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise click.ClickException(
                "toy corpora need espeakng-loader: pip install espeakng-loader"
            ) from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path()).parent).encode()
        self._rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        self._resample = torchaudio.transforms.Resample(self._rate, SAMPLE_RATE)
        self._chunks: list[NDArray[np.int16]] = []
        signature = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = signature(self._collect)  # C does not keep a reference
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice) -> NDArray[np.int16]:
        """Returns 16 kHz samples (N,) of a text in a voice."""
        if self._library.espeak_SetVoiceByName(f"en-us+{voice.variant}".encode()):
            raise click.ClickException(f"eSpeak NG has no voice en-us+{voice.variant}")
        self._library.espeak_SetParameter(RATE, voice.rate, 0)
        self._library.espeak_SetParameter(PITCH, voice.pitch, 0)
        self._chunks.clear()
        words = text.lower().encode()
        self._library.espeak_Synth(words, len(words) + 1, 0, 1, 0, 1, None, None)
        samples = torch.from_numpy(np.concatenate(self._chunks)).float()
        result: NDArray[np.int16] = (
            self._resample(samples).clamp(-32768, 32767).to(torch.int16).numpy()
        )
        return result

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0


def voices(seed: int) -> list[Voice]:
    """Returns the speakers, each with its own pitch and speed."""
    draw = random.Random(seed)
    return [
        Voice(101 + index, variant, draw.randrange(140, 190), draw.randrange(30, 70))
        for index, variant in enumerate(VARIANTS)
    ]


def sentence(draw: random.Random) -> str:
    """Returns a short command, such as OPEN WINDOW SEVEN."""
    numbers = " ".join(draw.choice(NUMBERS) for _ in range(draw.randrange(1, 4)))
    if draw.random() < 0.3:
        return numbers
    return f"{draw.choice(VERBS)} {draw.choice(OBJECTS)} {numbers}"


def write_librispeech(out: Path, parts: dict[str, int], seed: int) -> None:
    """Writes OUT/LibriSpeech/PART/SPEAKER/CHAPTER/*.flac with *.trans.txt, and SPEAKERS.TXT.

    It also writes a text for language models, which is not written like the transcripts.
    """
    synthesizer, root = Synthesizer(), out / "LibriSpeech"
    rows = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for number, (part, count) in enumerate(parts.items()):
        draw = random.Random(f"{seed} {part}")
        speakers = part_voices(number, seed)
        for index, voice in enumerate(speakers):
            chapter = root / part / str(voice.number) / str(1000 + voice.number)
            chapter.mkdir(parents=True, exist_ok=True)
            lines = []
            for utterance in range(
                count * index // len(speakers), count * (index + 1) // len(speakers)
            ):
                name = f"{voice.number}-{1000 + voice.number}-{utterance:04d}"
                text = sentence(draw)
                samples = synthesizer.speak(text, voice)
                soundfile.write(chapter / f"{name}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
                lines.append(f"{name} {text}\n")
            (chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt").write_text(
                "".join(lines), encoding="utf-8"
            )
            rows.append(
                f"{voice.number:<5}| {voice.sex} | {part:<17}| 1.00  | Voice {voice.variant}"
            )
    (root / "SPEAKERS.TXT").write_text("\n".join(rows) + "\n", encoding="utf-8")
    draw = random.Random(f"{seed} text")
    text = "".join(f"{sentence(draw).capitalize()}.\n" for _ in range(TEXT_LINES))
    (root / "lm-text.txt.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def write_an4(out: Path, parts: dict[str, int], seed: int) -> None:
    """Writes OUT/an4/etc/*.{fileids,transcription} and OUT/an4/wav/*/SPEAKER/*.sph."""
    synthesizer, root = Synthesizer(), out / "an4"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    folders = {"train": "an4_clstk", "test": "an4test_clstk"}
    for number, (part, count) in enumerate(parts.items()):
        draw = random.Random(f"{seed} {part}")
        speakers = part_voices(number, seed)
        names, texts = [], []
        for utterance in range(count):
            voice = speakers[utterance % len(speakers)]
            speaker, text = f"v{voice.number}", sentence(draw)
            name = f"an{utterance}-{speaker}-b"
            path = root / "wav" / folders[part] / speaker / f"{name}.sph"
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = synthesizer.speak(text, voice)
            soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16", format="NIST")
            names.append(f"{folders[part]}/{speaker}/{name}\n")
            texts.append(f"<s> {text} </s> ({name})\n")
        (root / "etc" / f"an4_{part}.fileids").write_text("".join(names), encoding="utf-8")
        (root / "etc" / f"an4_{part}.transcription").write_text("".join(texts), encoding="utf-8")


@dataclass(frozen=True)
class Talk:
    """The utterances of one speaker: texts and 16 kHz samples."""

    name: str
    sex: str
    utterances: list[tuple[str, NDArray[np.int16]]]


def spoken_talks(part: str, number: int, count: int, seed: int) -> Iterator[Talk]:
    """Yields a talk of every voice of a part; some sentences have a word with an apostrophe."""
    synthesizer, draw = Synthesizer(), random.Random(f"{seed} {part}")
    speakers = part_voices(number, seed)
    for index, voice in enumerate(speakers):
        many = count * (index + 1) // len(speakers) - count * index // len(speakers)
        texts = [("IT'S " if draw.random() < 0.2 else "") + sentence(draw) for _ in range(many)]
        utterances = [(text, synthesizer.speak(text, voice)) for text in texts]
        if utterances:
            yield Talk(f"Voice{voice.number}_2014", voice.sex, utterances)


def chapters_of_librispeech(source: Path, part: str) -> Iterator[Talk]:
    """Yields every chapter of the available train, dev or test parts of LibriSpeech as a talk."""
    root = source / "LibriSpeech"
    speakers = (line.split("|") for line in read_lines(root / "SPEAKERS.TXT"))
    sexes = {fields[0].strip(): fields[1].strip() for fields in speakers if len(fields) > 1}
    for chapter in (path for path in matching(root, f"{part}*/*/*") if path.is_dir()):
        speaker, lines = chapter.parent.name, []
        for transcript in matching(chapter, "*.trans.txt"):
            lines += [line.partition(" ") for line in read_lines(transcript)]
        utterances = [
            (text, soundfile.read(chapter / f"{name}.flac", dtype="int16")[0])
            for name, _, text in lines
        ]
        yield Talk(f"Reader{speaker}_{chapter.name}", sexes[speaker], utterances)


def write_talk(folder: Path, part: str, talk: Talk, draw: random.Random) -> None:
    """Writes FOLDER/sph/TALK.sph and FOLDER/stm/TALK.stm, with pauses between the utterances."""
    label = {"train": f"o,f0,{'fe' if talk.sex == 'F' else ''}male"}.get(part, f"F0_{talk.sex}")
    pieces: list[NDArray[np.int16]] = []
    rows, spoken = [], 0
    for text, samples in talk.utterances:
        # Hundredths of seconds, so that the times of the STM file are exact.
        pause, rest = draw.randrange(20, 80) * SAMPLE_RATE // 100, -len(samples) % 160
        pieces += [np.zeros(pause, np.int16), samples, np.zeros(rest, np.int16)]
        start, end = spoken + pause, spoken + pause + len(samples) + rest
        times = [f"{time / SAMPLE_RATE:.2f}" for time in (spoken, start, end)]
        gap = "<o,,unknown> ignore_time_segment_in_scoring"
        rows.append(f"{talk.name} 1 inter_segment_gap {times[0]} {times[1]} {gap}\n")
        words = text.lower().replace("'", " '") + (" {NOISE}" if draw.random() < 0.1 else "")
        rows.append(f"{talk.name} 1 {talk.name} {times[1]} {times[2]} <{label}> {words}\n")
        spoken = end
    for kind in ("sph", "stm"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    path = folder / "sph" / f"{talk.name}.sph"
    soundfile.write(path, np.concatenate(pieces), SAMPLE_RATE, subtype="PCM_16", format="NIST")
    (folder / "stm" / f"{talk.name}.stm").write_text("".join(rows), encoding="utf-8")


def write_tedlium2(out: Path, talks: Mapping[str, Iterable[Talk]], seed: int) -> None:
    """Writes OUT/TEDLIUM_release2: talks of each part, a dictionary, a text for language models.

    The dictionary has letters instead of phonemes.
    """
    root, texts = out / "TEDLIUM_release2", dict[str, list[str]]()
    for part, some in talks.items():
        texts[part] = []
        draw = random.Random(f"{seed} {part} pauses")
        for talk in some:
            write_talk(root / part, part, talk, draw)
            texts[part] += [text.lower() for text, _ in talk.utterances]
    words = sorted({word for part in texts.values() for text in part for word in text.split()})
    entries = (f"{word} {' '.join(word.replace(chr(39), '').upper())}\n" for word in words)
    (root / "TEDLIUM.152k.dic").write_text("".join(entries), encoding="utf-8")
    (root / "LM").mkdir(exist_ok=True)
    written = "".join(text.replace("'", " '") + "\n" for text in texts["train"])
    (root / "LM" / "talks.en.gz").write_bytes(gzip.compress(written.encode(), mtime=0))


def write_toy_tedlium2(out: Path, parts: dict[str, int], seed: int) -> None:
    """Writes OUT/TEDLIUM_release2 with synthesised talks."""
    talks = {
        part: spoken_talks(part, number, count, seed)
        for number, (part, count) in enumerate(parts.items())
    }
    write_tedlium2(out, talks, seed)


def part_voices(number: int, seed: int) -> list[Voice]:
    """Returns the speakers of a part: numbers, pitch and speed differ between parts."""
    return [
        Voice(voice.number + 100 * number, voice.variant, voice.rate, voice.pitch)
        for voice in voices(seed + number)
    ]


def write_conversations(out: Path, parts: dict[str, int], seed: int) -> None:
    """Writes telephone conversations between two voices in the layout of Switchboard and Hub5'00.

    The last pair of training voices has only one conversation, which can be held out at no cost.
    """
    synthesizer = Synthesizer()
    made: dict[str, list[Conversation]] = {}
    for number, (part, count) in enumerate(parts.items()):
        draw = random.Random(f"{seed} {part}")
        speakers = part_voices(number, seed)
        pairs = list(zip(speakers[::2], speakers[1::2], strict=True))
        most = min(TURNS, max(count // 2, 1))
        lengths = [min(most, count - first) for first in range(0, count, most)]
        made[part] = []
        for index, turns in enumerate(lengths):
            is_last = index == len(lengths) - 1
            pair = pairs[-1] if is_last else pairs[index % (len(pairs) - 1)]
            said = [
                Turn(words, spoken_at(synthesizer.speak(words, pair[turn % 2]), SAMPLE_RATE))
                for turn in range(turns)
                for words in [remark(draw)]
            ]
            callers = [Caller(str(1000 + voice.number), voice.sex) for voice in pair]
            made[part].append(converse(callers, said, draw))
    write_switchboard(out, made["train"], made["test"], seed)


def remark(draw: random.Random) -> str:
    """Returns a command as spoken on the telephone."""
    opening = draw.choice(["", "", "uh ", "it's ", "i'm ", "uh-huh "])
    return f"{opening}{sentence(draw).lower()}"


LAYOUTS = {
    "librispeech": write_librispeech,
    "an4": write_an4,
    "tedlium2": write_toy_tedlium2,
    "switchboard": write_conversations,
}
PARTS = {
    "librispeech": {"train-clean-5": 300, "dev-clean-mini": 30, "test-clean-mini": 40},
    "an4": {"train": 330, "test": 40},
    "tedlium2": {"train": 300, "dev": 30, "test": 40},
    "switchboard": {"train": 330, "test": 60},
}


def relay(layout: str, out: Path, source: Path, utterances: int | None, seed: int) -> None:
    """Writes real speech of LibriSpeech in another layout."""
    if layout == "switchboard":
        count = relay_switchboard(source / "LibriSpeech", out, utterances, seed)
        click.echo(f"{out}: {count} utterances of {source}/LibriSpeech")
        return
    if layout != "tedlium2":
        raise click.UsageError("--source is only for --layout tedlium2 or switchboard")
    if utterances is not None:
        raise click.UsageError("--layout tedlium2 with --source does not take --utterances")
    for part in PARTS[layout]:
        if not matching(source / "LibriSpeech", f"{part}*/*/*/*.trans.txt"):
            raise click.ClickException(f"{source}/LibriSpeech has no part {part}*: see --source")
    talks = {part: chapters_of_librispeech(source, part) for part in PARTS[layout]}
    write_tedlium2(out, talks, seed)
    click.echo(f"{out}: speech of {source}/LibriSpeech")


@click.command()
@click.option("--layout", type=click.Choice(list(LAYOUTS)), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option(
    "--utterances", type=int, help="Utterances of the first part; the others scale with it."
)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="Folder that holds LibriSpeech: write its speech in the layout tedlium2 or switchboard.",
)
def main(layout: str, out: Path, utterances: int | None, seed: int, source: Path | None) -> None:
    """Makes a toy corpus."""
    torch.set_num_threads(1)
    parts = PARTS[layout]
    if source is not None:
        relay(layout, out, source, utterances, seed)
        return
    if utterances is not None:
        first = next(iter(parts.values()))
        parts = {name: max(count * utterances // first, 1) for name, count in parts.items()}
    LAYOUTS[layout](out, parts, seed)
    click.echo(f"{out}: {', '.join(f'{name} {count}' for name, count in parts.items())}")


if __name__ == "__main__":
    use_utf8()
    main()
