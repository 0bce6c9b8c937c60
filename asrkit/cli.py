"""The command line: verbs parse their arguments and call one library function each."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from asrkit.allocator import keep_freed_memory
from asrkit.config.registry import import_plugin
from asrkit.errors import UserError

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)
data_option = click.option(
    "--data", type=FOLDER, required=True, help="Data folder, with manifests/ and text/."
)
run_option = click.option("--run", type=FOLDER, required=True, help="Folder of the run.")
set_option = click.option("--set", "set_name", required=True, help="Name of the set.")
checkpoint_option = click.option(
    "--checkpoint",
    default="average",
    show_default=True,
    help="average, best, last, or the path of a checkpoint.",
)
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")


def _complain(message: str) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"asrkit: {message}", markup=False, style="red")


class Verbs(click.Group):
    """Turns problems that users can mend into one message and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            if ctx.params.get("debug"):
                raise
            _complain(str(error))
            ctx.exit(2)
        except OSError as error:  # a full disk, a folder that must not be written, a broken disk
            if ctx.params.get("debug") or error.errno == errno.EPIPE:
                raise
            place = f"{error.filename}: " if error.filename else ""
            _complain(
                f"{place}{error.strerror or error}; what was written before is intact: mend that, "
                "then start the same command again"
            )
            ctx.exit(2)
        except KeyboardInterrupt:
            Console(stderr=True).print(
                "asrkit: interrupted; what was saved is intact, the same command goes on from there"
            )
            ctx.exit(130)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of errors.")
@click.option("--plugin", multiple=True, metavar="MODULE", help="Import a module with more names.")
@click.version_option(package_name="asrkit")
def main(debug: bool, plugin: tuple[str, ...]) -> None:
    """Trains speech recognisers from scratch, described in YAML.

    A recipe's run.sh calls these verbs in order: tokenizer, check, train, average, decode, score.
    Any value of a spec can be changed on the command line: training.epochs=20.
    """
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_level=True)],
    )
    keep_freed_memory()
    for name in plugin:
        import_plugin(name, "--plugin")


@main.command()
@click.argument("spec", type=FILE)
@data_option
@run_option
@overrides_argument
def train(spec: Path, data: Path, run: Path, overrides: tuple[str, ...]) -> None:
    """Train the model of a SPEC file; the same command goes on after an interruption.

    Example: asrkit train conf/conformer.yaml --data data --run run/first training.epochs=20

    On several GPUs: torchrun --nproc-per-node 4 -m asrkit train ...
    """
    from asrkit import experiment

    experiment.train(spec, overrides, data, run)


@main.command()
@run_option
@click.option("--best", type=int, help="Average the checkpoints with the N lowest dev objectives.")
@click.option("--last", type=int, help="Average the newest N checkpoints instead.")
def average(run: Path, best: int | None, last: int | None) -> None:
    """Average the weights of a run's checkpoints.

    Example: asrkit average --run run/first --best 5
    """
    from asrkit import experiment

    click.echo(experiment.average(run, best, last))


@main.command()
@run_option
@data_option
@set_option
@click.option("--search", required=True, help="Name of a search below decoding: in the spec.")
@checkpoint_option
@click.option("--spec", type=FILE, help="File whose decoding: replaces that of the run.")
@overrides_argument
def decode(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    checkpoint: str,
    spec: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Decode a set with a trained run; KEY=VALUE changes the search.

    Example: asrkit decode --run run/first --data data --set dev --search joint beam_size=20
    """
    from asrkit import experiment

    summary = experiment.decode(run, data, set_name, search, checkpoint, spec, overrides)
    table = Table("what", "value", title=f"{search} on {set_name}")
    for name, value in summary.items():
        table.add_row(name, str(value))
    Console(stderr=True).print(table)


@main.command()
@run_option
@set_option
@click.option("--search", required=True, help="Name of the search that decoded the set.")
@click.option("--against", type=FOLDER, help="Another run to compare with on the same set.")
@click.option("--stm", type=FILE, help="STM file with references: count errors as sclite does.")
@click.option("--glm", type=FILE, help="NIST's mapping rules: with --stm, score as Hub5 does.")
@click.option(
    "--drop-hesitations",
    is_flag=True,
    help="With --glm: leave hesitations and partial words out of hypotheses, as Kaldi does.",
)
def score(
    run: Path,
    set_name: str,
    search: str,
    against: Path | None,
    stm: Path | None,
    glm: Path | None,
    drop_hesitations: bool,
) -> None:
    """Score a decoded set: WER with its 95 % interval, errors by utterance and speaker.

    With --stm, NIST's sclite counts the word errors if it is installed; else, asrkit counts them
    by the same rules. With --stm and --glm, the set is scored as in the Hub5 and RT evaluations
    of telephone speech, by hubscr.pl if that is installed.

    Example: asrkit score --run run/first --set dev --search joint
    """
    from asrkit import experiment

    result = experiment.score(run, set_name, search, against, stm, glm, drop_hesitations)
    e = result.errors
    click.echo(
        f"{set_name} {search}: WER {result.wer:.2f} % [{result.low:.2f}, {result.high:.2f}], "
        f"{e.total} errors in {e.words} words ({e.substitutions} sub, {e.deletions} del, "
        f"{e.insertions} ins), CER {result.cer:.2f} %"
    )
    for name, part in result.parts.items():
        click.echo(f"  {name:<6} {part['wer']:6.2f} % of {part['errors']['words']} words")
    if result.against is not None:
        click.echo(
            f"against {against}: {result.against.difference:+.2f} absolute, "
            f"better with probability {result.against.probability_better:.3f}"
        )


@main.command()
@run_option
@data_option
@set_option
@click.option("--head", default="ctc", show_default=True, help="Name of a CTC or transducer head.")
@checkpoint_option
@click.option(
    "--speed",
    "speeds",
    type=float,
    multiple=True,
    default=[1.0],
    show_default=True,
    help="Play at this speed; may be given several times, for all of data.speeds.",
)
def align(
    run: Path, data: Path, set_name: str, head: str, checkpoint: str, speeds: tuple[float, ...]
) -> None:
    """Align transcripts with audio: when each label is spoken, and the symbol of every frame.

    RUN/align/SET.ctm has the time of every label, RUN/align/SET.tsv the frames' symbols, which
    another spec trains on with data.alignments=RUN and criterion: alignment in its head.

    Example: asrkit align --run run/first --data data --set dev
    """
    from asrkit import experiment

    for path in experiment.align(run, data, set_name, head, checkpoint, speeds):
        click.echo(path)


@main.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, help="Data folder: check every utterance, too.")
@overrides_argument
def check(spec: Path, data: Path | None, overrides: tuple[str, ...]) -> None:
    """Check a SPEC file, and with --data every utterance, before training.

    All problems are listed at once. Utterances that can't be used are listed in the data folder's
    unusable/, and training leaves them out.

    Example: asrkit check conf/conformer.yaml --data data
    """
    from asrkit import experiment

    report = experiment.check(spec, overrides, data)
    if report.problems:
        raise UserError(
            "\n".join([f"{len(report.problems)} problem(s) in {spec}", *report.lines()])
        )
    click.echo("\n".join([f"{spec}: no problems", *report.lines()]))


@main.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, help="Data folder, for the size of the vocabulary.")
@overrides_argument
def show(spec: Path, data: Path | None, overrides: tuple[str, ...]) -> None:
    """Show the modules of a SPEC file's model with their parameter counts.

    Example: asrkit show conf/conformer.yaml
    """
    from asrkit import experiment

    click.echo(experiment.show(spec, overrides, data))


@main.command()
@run_option
@data_option
@set_option
@click.option("--head", default="ctc", show_default=True, help="Name of the CTC head.")
@checkpoint_option
@click.option(
    "--mean",
    type=click.Choice(["probabilities", "logarithms"]),
    default="probabilities",
    show_default=True,
    help="What is averaged over frames.",
)
def prior(
    run: Path,
    data: Path,
    set_name: str,
    head: str,
    checkpoint: str,
    mean: Literal["probabilities", "logarithms"],
) -> None:
    """Estimate label priors of a CTC head, for `prior:` of a ctc scorer.

    Example: asrkit prior --run run/first --data data --set train
    """
    from asrkit import experiment

    click.echo(experiment.estimate_prior(run, data, set_name, head, checkpoint, mean))


@main.command()
@run_option
@data_option
@set_option
@checkpoint_option
def perplexity(run: Path, data: Path, set_name: str, checkpoint: str) -> None:
    """Say how well a language model predicts the transcripts of a set.

    Example: asrkit perplexity --run run/lm --data data --set dev
    """
    from asrkit import experiment

    found, words = experiment.perplexity(run, data, set_name, checkpoint)
    click.echo(
        f"{set_name}: perplexity {found.per_word(words):.2f} per word, {found.per_token:.2f} per "
        f"label ({found.sentences} sentences with {words} words and {found.tokens} labels, ends "
        "of sentences included)"
    )


@main.command(name="search-errors")
@run_option
@data_option
@set_option
@click.option("--search", required=True, help="Name of the search that decoded the set.")
def search_errors(run: Path, data: Path, set_name: str, search: str) -> None:
    """Count sentences whose reference scores higher than what the search found.

    Example: asrkit search-errors --run run/first --data data --set dev --search joint
    """
    from asrkit import experiment

    report = experiment.search_errors(run, data, set_name, search)
    click.echo(
        f"{set_name} {search}: {report['search_errors']} search errors in {report['sentences']} "
        f"sentences ({report['rate']} %), {report['wrong']} wrong sentences, "
        f"{report['unreachable_references']} references without a path"
    )


@main.command()
@run_option
@data_option
@set_option
@click.option("--search", required=True, help="Name of a search below decoding: in the spec.")
@click.option(
    "--vary",
    multiple=True,
    metavar="SCORER[.KEY]=LOW:HIGH",
    help="A weight to tune, or another number of a scorer's entry (ctc.prior_scale), and between "
    "which values; else, those of the spec's tuning: part.",
)
@click.option(
    "--decodes",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Decodes after the first; where not only weights are tuned, two thirds try other values.",
)
@checkpoint_option
@click.option("--spec", type=FILE, help="File whose decoding: replaces that of the run.")
def tune(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    vary: tuple[str, ...],
    decodes: int,
    checkpoint: str,
    spec: Path | None,
) -> None:
    """Tune the weights of a search on a dev set, by n-best lists and a few decodes.

    Example: asrkit tune --run run/first --data data --set dev --search joint --vary ctc=0.1:0.9
    """
    from asrkit import experiment
    from asrkit.experiment.tuned_values import read_range

    ranges = dict(read_range(word) for word in vary)
    path, trials = experiment.tune(run, data, set_name, search, ranges, decodes, checkpoint, spec)
    table = Table("weights", "WER %", "95 % interval", title=f"{search} on {set_name}")
    best = min(trials, key=lambda trial: trial.wer)
    for trial in trials:
        weights = ", ".join(f"{name} {weight:g}" for name, weight in trial.weights.items())
        style = "bold" if trial is best else None
        table.add_row(
            weights, f"{trial.wer:.2f}", f"{trial.low:.2f} – {trial.high:.2f}", style=style
        )
    Console(stderr=True).print(table)
    click.echo(f"the best is in {path}; for other sets: asrkit decode --spec {path} ...")


@main.command(name="table")
@run_option
@click.option("--dev", required=True, help="Set that weights were tuned on.")
@click.option("--test", "tests", multiple=True, required=True, help="Set to report; repeatable.")
@click.option("--search", "searches", multiple=True, help="Search to list; repeatable. Else, all.")
@click.option("--out", type=FILE, help="Markdown file to write; RUN/searches.md if not given.")
def table_of_searches(
    run: Path, dev: str, tests: tuple[str, ...], searches: tuple[str, ...], out: Path | None
) -> None:
    """Compare the searches of a run: weights, WER with interval, RTF, search errors, commands.

    Of what is named like opls and opls_lm_ilm the first is a row, the rest a column. RESULTS.md
    will have the tables in the run's section.

    Example: asrkit table --run run/first --dev dev --test test
    """
    from asrkit.scoring.search_table import write_search_table

    click.echo(write_search_table(run, dev, tests, searches, out or run / "searches.md"))


@main.command(name="list")
@click.argument("kind", required=False)
def list_names(kind: str | None) -> None:
    """List the kinds of parts, or all parts of one KIND with their keys.

    Example: asrkit list encoder
    """
    from asrkit.config.explain import list_registry
    from asrkit.config.registry import import_all

    import_all()
    click.echo(list_registry(kind))


@main.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
def diff(first: Path, second: Path) -> None:
    """Show in which keys two specs or run folders differ, defaults included.

    Example: asrkit diff run/first run/second
    """
    from asrkit import experiment

    click.echo(experiment.diff(first, second))


@main.command()
@click.argument("spec", type=FILE)
@click.argument("key")
@overrides_argument
def explain(spec: Path, key: str, overrides: tuple[str, ...]) -> None:
    """Explain one KEY of a SPEC file: its value, where that came from, what it does.

    Example: asrkit explain conf/conformer.yaml training.schedule.peak
    """
    from asrkit import experiment

    click.echo(experiment.explain(spec, overrides, key))


@main.command()
@click.argument("kind", type=click.Choice(["bpe", "unigram", "characters", "words"]))
@data_option
@click.option("--set", "set_name", default="train", show_default=True, help="Set of transcripts.")
@click.option("--size", type=int, help="Number of units.")
@click.option("--name", help="Name of the tokenizer file; the kind if not given.")
def tokenizer(kind: Any, data: Path, set_name: str, size: int | None, name: str | None) -> None:
    """Train a tokenizer of some KIND on the transcripts of a set.

    Example: asrkit tokenizer bpe --data data --size 500
    """
    from asrkit import experiment

    click.echo(experiment.tokenizer(kind, data, set_name, size, name or kind))


@main.command()
@data_option
@click.option("--set", "sets", multiple=True, help="Set whose transcripts are used; repeatable.")
@click.option("--text", "texts", type=FILE, multiple=True, help="Sentences by line (.gz, .xz).")
@click.option("--order", type=click.IntRange(1), required=True, help="Longest n-grams.")
@click.option(
    "--units", type=click.Choice(["bpe", "unigram", "characters", "words"]), required=True
)
@click.option("--tokenizer", help="Name of the tokenizer file; the units if not given.")
@click.option("--name", required=True, help="Name of the model: DATA/lm/NAME.arpa.gz.")
@click.option("--prune", type=int, multiple=True, help="Count up to which n-grams are left out.")
@click.option("--dev", help="Set to measure the perplexity on.")
def ngram(**options: Any) -> None:
    """Estimate an n-gram model (Kneser-Ney) on transcripts and texts, as an ARPA file.

    --prune is given once for each order, unigrams first; the last one holds for higher orders.

    Example: asrkit ngram --data data --set train --order 4 --units words --name 4gram --dev dev
    """
    from asrkit import experiment

    report = experiment.ngram(**options)
    table = Table("order", "n-grams", "D1", "D2", "D3+", title=str(report.path))
    rows = zip(report.estimate.ngrams.tables, report.estimate.discounts, strict=True)
    for order, (ngrams, discounts) in enumerate(rows, start=1):
        values = [f"{value:.4f}" for value in discounts.values]
        table.add_row(str(order), str(len(ngrams)), *values)
    Console(stderr=True).print(table)
    click.echo("\n".join(report.lines()))
