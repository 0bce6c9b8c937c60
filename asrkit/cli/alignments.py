"""The verbs `asrkit alignments compare`, `import` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from asrkit.cli.options import FILE, FOLDER, run_option, set_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.exchange import Exchanged
    from asrkit.scoring.word_times import WordTimes


@click.group()
def alignments() -> None:
    """Compare alignments, or exchange them with other toolkits.

    Example: asrkit alignments compare run/gmm/sat/align/dev.ctm run/first/align/dev.ctm
    """


@alignments.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option(
    "--within",
    type=click.FloatRange(min=0.0),
    default=0.05,
    show_default=True,
    help="Seconds that boundaries may differ by.",
)
def compare(first: Path, second: Path, within: float) -> WordTimes:
    """Compare when words begin and end in two CTM files.

    Example: asrkit alignments compare run/gmm/sat/align/dev.ctm run/first/align/dev.ctm
    """
    from asrkit.scoring.word_times import compare_word_times

    found = compare_word_times(first, second, within)
    say("\n".join(found.lines()))
    return found


@alignments.command("import")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--from", "form", type=click.Choice(["kaldi", "rasr", "text"]), required=True)
@click.option("--run", type=FOLDER, required=True, help="Folder for data.alignments of a spec.")
@set_option
@click.option("--transitions", type=FILE, help="Output of Kaldi's show-transitions, for ali.*.gz.")
@click.option("--state-tying", type=FILE, help="RASR's state tying, for lines with allophones.")
@click.option("--states", type=click.IntRange(min=1), help="Number of tied states.")
@click.option("--hmm", type=FOLDER, help="A run whose HMM the states are of, which is copied.")
@click.option("--last-part", is_flag=True, help="Names of utterances follow the last / of RASR's.")
def import_(
    files: tuple[Path, ...],
    form: str,
    run: Path,
    set_name: str,
    transitions: Path | None,
    state_tying: Path | None,
    states: int | None,
    hmm: Path | None,
    last_part: bool,
) -> Exchanged:
    """Take alignments of another toolkit, as RUN/align/SET.safetensors.

    kaldi: archives (text or binary, also .gz) of pdfs, as `ali-to-pdf` writes them, or of
    transitions, as ali.*.gz are, with --transitions.

    rasr: text with a line for each frame: segment, frame, and the tied state; or allophone and
    state, with --state-tying.

    text: what `asrkit alignments export --to text` writes.

    Example: asrkit alignments import --from kaldi pdf.ark --run run/kaldi --set train
    """
    from asrkit.data.foreign_states import KaldiStates, RasrStates
    from asrkit.experiment.exchange import import_states, import_text

    given = {"--transitions": (transitions, "kaldi"), "--state-tying": (state_tying, "rasr")}
    for option, (value, wanted) in given.items():
        if value is not None and form != wanted:
            raise click.UsageError(f"{option} is for --from {wanted}, not {form}")
    if form == "text":
        if len(files) > 1 or states or hmm or last_part:
            raise click.UsageError("--from text takes one file, which says what its symbols are")
        found = import_text(files[0], run, set_name)
    else:
        reader = KaldiStates(transitions) if form == "kaldi" else RasrStates(state_tying)
        found = import_states(files, reader, run, set_name, states, hmm, last_part)
    say("\n".join(found.lines()))
    return found


@alignments.command()
@click.argument("out", type=FILE)
@click.option(
    "--to", "form", type=click.Choice(["kaldi", "kaldi-text", "rasr", "text"]), required=True
)
@run_option
@set_option
@click.option("--speed", type=float, default=1.0, show_default=True, help="Of the audio.")
def export(
    out: Path,
    form: Literal["kaldi", "kaldi-text", "rasr", "text"],
    run: Path,
    set_name: str,
    speed: float,
) -> Exchanged:
    """Write the alignments of RUN/align/SET.safetensors for another toolkit.

    Example: asrkit alignments export pdf.ark --to kaldi --run run/gmm/sat --set train
    """
    from asrkit.experiment.exchange import export_alignments

    found = export_alignments(run, set_name, form, out, speed)
    say("\n".join(found.lines()))
    return found
