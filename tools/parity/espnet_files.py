"""Writes sets of a data folder as the files that ESPnet2 trains on and decodes.

    python tools/parity/espnet_files.py data train dev test --out espnet --kind bpe --size 60

makes OUT/SET/{wav.scp,text,speech_shape,text_shape} of each set, 16-bit audio in OUT/wav, and
OUT/tokens.txt, with OUT/bpe.model for BPE; units are those of the first set. README.md next to this
file says how ESPnet is trained on them, and how its models are compared with what is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import click
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))

from asrkit.data.cuts import read_cut, text_of
from asrkit.data.manifests import open_set
from asrkit.files import write_lines
from asrkit.foreign.espnet.labels import BLANK, END, UNKNOWN
from asrkit.text.listed_units import SPACE
from asrkit.text.tokenizers import SPACE as OUR_SPACE
from asrkit.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)
from asrkit.utf8 import use_utf8

KINDS: dict[str, tuple[Literal["bpe", "characters", "words"], type[Tokenizer]]] = {
    "bpe": ("bpe", SentencePieceTokenizer),
    "char": ("characters", CharacterTokenizer),
    "word": ("words", WordTokenizer),
}
"""ESPnet's kinds of units, as asrkit trains and reads them."""


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("sets", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--kind", type=click.Choice(list(KINDS)), required=True)
@click.option("--size", type=int, help="Number of BPE units.")
@click.option("--sample-rate", type=int, default=16000, show_default=True)
def main(
    data: Path, sets: Sequence[str], out: Path, kind: str, size: int | None, sample_rate: int
) -> None:
    """Writes SETS of a DATA folder as ESPnet2 reads them."""
    out.mkdir(parents=True)
    texts = [text_of(cut) for cut in open_set(data, [sets[0]])]
    name, made = KINDS[kind]
    train_tokenizer(name, texts, size, out, kind)
    tokenizer = made(out, kind)  # type: ignore[call-arg]
    symbols: list[str] = list(tokenizer.vocabulary.symbols)
    if kind == "char":
        symbols = [SPACE if symbol == OUR_SPACE else symbol for symbol in symbols]
    write_lines(out / "tokens.txt", [BLANK, UNKNOWN, *symbols, END])
    for each in sets:
        lines = list(_write_set(data, each, out, tokenizer, sample_rate))
        for file, column in (("wav.scp", 0), ("text", 1), ("speech_shape", 2), ("text_shape", 3)):
            write_lines(out / each / file, [line[column] for line in lines])
        click.echo(f"{each}: {len(lines)} utterances")


def _write_set(
    data: Path, name: str, out: Path, tokenizer: Tokenizer, sample_rate: int
) -> Iterator[tuple[str, str, str, str]]:
    """Writes the audio of a set; yields the lines of each utterance in its four files."""
    size = len(tokenizer.vocabulary) + 3  # blank, unknown, end of sentence
    (out / name).mkdir()
    (out / "wav").mkdir(exist_ok=True)
    for cut in open_set(data, [name]):
        samples = read_cut(cut, sample_rate)
        path = out / "wav" / f"{cut.id}.wav"
        soundfile.write(path, samples, sample_rate)
        text = text_of(cut)
        labels = tokenizer.encode_if_known(text) or []
        yield (
            f"{cut.id} {path.resolve()}",
            f"{cut.id} {text}",
            f"{cut.id} {len(samples)}",
            f"{cut.id} {len(labels)},{size}",
        )


if __name__ == "__main__":
    use_utf8()
    main()
