"""The verbs `asrkit alignments compare`, `import` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from asrkit.cli.options import FILE, FOLDER, run_option, set_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.exchange import Exchanged, Reader
    from asrkit.scoring.word_times import WordTimes


FORMS = {
    "kaldi": ("transitions",),
    "rasr": ("state_tying", "allophones"),
    "words": ("data", "reach", "speed"),
    "phones": ("data", "speed"),
}
"""What can be read, and the options that are for it alone."""


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
@click.option("--from", "form", type=click.Choice([*FORMS, "text"]), required=True)
@click.option("--run", type=FOLDER, required=True, help="Folder for data.alignments of a spec.")
@set_option
@click.option("--transitions", type=FILE, help="Output of Kaldi's show-transitions, for ali.*.gz.")
@click.option("--state-tying", type=FILE, help="RASR's state tying, where there are allophones.")
@click.option("--allophones", type=FILE, help="RASR's list of allophones, for its caches.")
@click.option("--states", type=click.IntRange(min=1), help="Number of tied states.")
@click.option("--hmm", type=FOLDER, help="A run whose HMM the states are of, which is copied.")
@click.option("--data", type=FOLDER, help="Data folder of the set, for words and phones.")
@click.option(
    "--reach",
    type=click.FloatRange(min=0.0),
    help="Seconds that words reach into the gaps around them: about 0.2 for times of a CTC head, "
    "which tells moments. None by default.",
)
@click.option(
    "--speed",
    "speeds",
    type=click.FloatRange(0.1, 10.0),
    multiple=True,
    help="Speed of the audio, for words and phones; repeatable, once for each of data.speeds. 1 "
    "by default.",
)
@click.option("--last-part", is_flag=True, help="Names of utterances follow the last / of RASR's.")
def import_(
    files: tuple[Path, ...],
    form: str,
    run: Path,
    set_name: str,
    transitions: Path | None,
    state_tying: Path | None,
    allophones: Path | None,
    states: int | None,
    hmm: Path | None,
    data: Path | None,
    reach: float | None,
    speeds: tuple[float, ...],
    last_part: bool,
) -> Exchanged:
    """Take alignments of another toolkit, as RUN/align/SET.safetensors.

    kaldi: archives (text or binary, also .gz) of pdfs, as `ali-to-pdf` writes them, or of
    transitions, as ali.*.gz are, with --transitions.

    rasr: text with a line for each frame: segment, frame, and the tied state; or allophone and
    state, with --state-tying. Caches of RASR need --allophones as well.

    words, phones: CTM files, such as RUN/align/SET.words.ctm of a CTC head. Words have the
    pronunciations of --hmm, phones equal shares of a word's time, states of a phone's: a beginning
    to train on.

    text: what `asrkit alignments export --to text` writes.

    Example: asrkit alignments import --from kaldi pdf.ark --run run/kaldi --set train
    """
    from asrkit.experiment.exchange import import_states, import_text

    options = {
        "transitions": transitions,
        "state_tying": state_tying,
        "allophones": allophones,
        "data": data,
        "reach": reach,
        "speed": speeds or None,
    }
    for option, value in options.items():
        if value is not None and option not in FORMS.get(form, ()):
            name = option.replace("_", "-")
            raise click.UsageError(f"--{name} has no meaning for --from {form}")
    if form == "text":
        if len(files) > 1 or states or hmm or last_part:
            raise click.UsageError("--from text takes one file, which says what its symbols are")
        found = import_text(files[0], run, set_name)
    else:
        paths = {"transitions": transitions, "state_tying": state_tying, "allophones": allophones}
        readers = {
            speed: _reader(form, paths, hmm, set_name, data, reach, speed)
            for speed in speeds or (1.0,)
        }
        found = import_states(files, readers, run, set_name, states, hmm, last_part)
    say("\n".join(found.lines()))
    return found


def _reader(
    form: str,
    options: dict[str, Path | None],
    hmm: Path | None,
    set_name: str,
    data: Path | None,
    reach: float | None,
    speed: float,
) -> Reader:
    """Returns what reads a form.

    Raises:
        UsageError: If an option is missing.
    """
    from asrkit.data.foreign_states import KaldiStates, RasrStates
    from asrkit.experiment.timed_states import TimedStates
    from asrkit.run_folder import RunFolder

    if form == "kaldi":
        return KaldiStates(options["transitions"])
    if form == "rasr":
        return RasrStates(options["state_tying"], options["allophones"])
    if data is None or hmm is None:
        raise click.UsageError(f"--from {form} needs --data and --hmm")
    of: Literal["words", "phones"] = "words" if form == "words" else "phones"
    return TimedStates(RunFolder(hmm).hmm, data, set_name, of, 0.01, reach or 0.0, speed)


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
