"""The verb `asrkit data features`: sets of features that other programs have made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from asrkit.cli.made_sets import MadeSet, of_sources, with_root, write_feature_files
from asrkit.cli.options import FILE

if TYPE_CHECKING:
    from asrkit.corpora.feature_files import Said
    from asrkit.data.feature_sources import FeatureSource
    from asrkit.data.sources import Unusable

Kind = Literal["kaldi", "arrays", "file"]
HAVE_MEANING: dict[str, tuple[Kind, ...]] = {
    "root": ("kaldi",),
    "cmvn": ("kaldi",),
    "speakers": ("arrays",),
    "text": ("arrays", "file"),
    "utt2spk": ("arrays", "file"),
    "corpus": ("arrays", "file"),
    "last_part": ("arrays", "file"),
}
"""Which sources an option is for."""


@click.command("features")
@of_sources
@with_root
@click.option(
    "--frame-shift",
    type=click.FloatRange(min=0.0, min_open=True, max=1.0),
    help="Seconds between frames; without it, as Kaldi's folders say, or 0.01.",
)
@click.option(
    "--cmvn",
    type=click.Choice(["none", "mean", "mean-variance"]),
    default="none",
    show_default=True,
    help="What Kaldi's cmvn.scp normalises for each speaker.",
)
@click.option("--speakers", is_flag=True, help="Folders of arrays are named after speakers.")
@click.option("--text", type=FILE, help="Transcripts: lines of a name and words, as Kaldi's text.")
@click.option("--utt2spk", type=FILE, help="Speakers: lines of a name and a speaker.")
@click.option("--corpus", type=FILE, help="RASR's corpus (XML), for transcripts and speakers.")
@click.option("--last-part", is_flag=True, help="Utterances are called by what follows the last /.")
def data_features(
    sources: tuple[Path, ...],
    root: Path | None,
    frame_shift: float | None,
    cmvn: Literal["none", "mean", "mean-variance"],
    speakers: bool,
    text: Path | None,
    utt2spk: Path | None,
    corpus: Path | None,
    last_part: bool,
    **options: Any,
) -> MadeSet:
    """Make a set from features that other programs have made, for models of `ready_made` features.

    SOURCE is a Kaldi data folder with feats.scp and text; a folder of .npy files (frames,
    features), with a .txt of the same name next to each; or, with --text or --corpus, an archive
    of Kaldi (.ark), a cache of RASR, or a list of such caches (.bundle).

    Example: asrkit data features kaldi/train --data data
    """
    from asrkit.corpora.feature_files import FeatureFiles
    from asrkit.corpora.kaldi_features import frame_shift_of, read_kaldi_features

    kinds = {source: _kind(source) for source in sources}
    given = {
        "root": root,
        "cmvn": cmvn != "none",
        "speakers": speakers,
        "text": text,
        "utt2spk": utt2spk,
        "corpus": corpus,
        "last_part": last_part,
    }
    _require_meaning([name for name, value in given.items() if value], set(kinds.values()))
    folders = [source for source, kind in kinds.items() if kind == "kaldi"]
    shift = frame_shift_of(folders) if frame_shift is None else frame_shift
    files = FeatureFiles(_said(text, utt2spk, corpus), shift, speakers, last_part)

    def read(source: Path) -> Iterator[FeatureSource | Unusable]:
        if kinds[source] == "kaldi":
            return read_kaldi_features(source, root, cmvn)
        return files.read(source)

    made = write_feature_files(read, sources, frame_shift=shift, **options)
    files.tell_unheard()
    return made


def _kind(source: Path) -> Kind:
    if not source.is_dir():
        return "file"
    return "kaldi" if (source / "feats.scp").is_file() else "arrays"


def _require_meaning(names: list[str], kinds: set[Kind]) -> None:
    """Checks that every option that is given is for one of the sources.

    Raises:
        UsageError: If one is not.
    """
    called: dict[Kind, str] = {
        "kaldi": "Kaldi data folders (with feats.scp)",
        "arrays": "folders of arrays",
        "file": "archives and caches",
    }
    for name in names:
        if not kinds & set(HAVE_MEANING[name]):
            which = " and ".join(called[kind] for kind in HAVE_MEANING[name])
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} has a meaning for {which} alone")


def _said(text: Path | None, utt2spk: Path | None, corpus: Path | None) -> dict[str, Said]:
    from asrkit.corpora.bliss import read_bliss
    from asrkit.corpora.feature_files import read_said

    if corpus is None:
        return read_said(text, utt2spk)
    if text is not None or utt2spk is not None:
        raise click.UsageError("--corpus has transcripts and speakers: leave --text, --utt2spk out")
    return read_bliss(corpus)
