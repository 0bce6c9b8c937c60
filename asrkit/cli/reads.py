"""Which files each verb reads: a stage of a recipe runs again when one of them has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from asrkit.config.plugins import plugin_files
from asrkit.config.yaml_loader import files_of, load
from asrkit.data_folder import DataFolder
from asrkit.run_folder import DecodedSet, RunFolder

Options = Mapping[str, Any]


def read_by(verbs: click.Group, words: Sequence[str]) -> list[Path]:
    """Returns the files that a command reads; none if it is not a verb of asrkit.

    Args:
        verbs: The group of all verbs.
        words: The command, which torchrun may start.
    """
    name, *rest = without_launcher(words) or [""]
    if name != "asrkit" or not rest or rest[0] not in READ:
        return []
    verb = verbs.commands[rest[0]]
    # The command itself says what is wrong with its options.
    options = verb.make_context(rest[0], rest[1:], resilient_parsing=True).params
    if any(each.required and options.get(str(each.name)) in (None, ()) for each in verb.params):
        return []
    return READ[rest[0]](options)


def without_launcher(words: Sequence[str]) -> list[str]:
    """Returns a command without torchrun, which may start it, and its options."""
    launched = "--" in words and words[0] == "torchrun"
    return list(words)[words.index("--") + 1 :] if launched else list(words)


def spec_files(spec: Path) -> list[Path]:
    """Returns the files that a spec is read from: itself, what it extends, and plugins."""
    return list(dict.fromkeys([*files_of(spec), *plugin_files(spec)]))


def _spec(options: Options) -> list[Path]:
    """A spec, with changes, its tokenizer and its alignments."""
    found = spec_files(options["spec"])
    if options["data"] is None:
        return found
    tree = load(options["spec"], options["overrides"]).tree
    text, data = (_part(tree, name) for name in ("text", "data"))
    tokenizers = DataFolder(options["data"]).tokenizers(text.get("name"))
    return [*found, *tokenizers, *_alignments(data)]


def _part(tree: object, name: str) -> dict[str, Any]:
    part = tree.get(name) if isinstance(tree, dict) else None
    return part if isinstance(part, dict) else {}


def _alignments(data: dict[str, Any]) -> list[Path]:
    """Returns the files of alignments that there are of the sets of a spec."""
    run, sets = data.get("alignments"), [data.get("train"), data.get("dev")]
    names = [str(name) for each in sets if isinstance(each, list) for name in each]
    if not isinstance(run, str):
        return []
    folder = RunFolder(Path(run))
    places = [place(name) for name in names for place in (folder.frames, folder.older_frames)]
    return [path for path in places if path.is_file()]


def _manifests(options: Options, *names: str) -> list[Path]:
    folder = DataFolder(options["data"])
    return [folder.existing_manifest(name) or folder.manifest(name) for name in names]


def _weights(options: Options) -> list[Path]:
    return [RunFolder(options["run"]).weights(options["checkpoint"])]


def _model_and_set(options: Options) -> list[Path]:
    return [*_weights(options), *_manifests(options, options["set_name"])]


def _aligned(options: Options) -> list[Path]:
    given = (options["prior"], options["lexicon"])
    return [*_model_and_set(options), *(path for path in given if path is not None)]


def _searched(options: Options) -> list[Path]:
    spec = options["spec"]
    searches = [RunFolder(options["run"]).spec] if spec is None else spec_files(spec)
    return [*_model_and_set(options), *searches]


def _decoded(options: Options) -> DecodedSet:
    return RunFolder(options["run"]).decoded_set(options["search"], options["set_name"])


def _scored(options: Options) -> list[Path]:
    references = (options["stm"], options["glm"])
    return [_decoded(options).nbest, *(path for path in references if path is not None)]


def _counted(options: Options) -> list[Path]:
    dev = () if options["dev"] is None else (options["dev"],)
    tokenizers = DataFolder(options["data"]).tokenizers(options["tokenizer"] or options["units"])
    return [*tokenizers, *options["texts"], *_manifests(options, *options["sets"], *dev)]


def _mixtures(options: Options) -> list[Path]:
    found = _spec(options)
    tree = load(options["spec"], options["overrides"]).tree
    sets = _part(tree, "data").get("train")
    lexicon = tree.get("lexicon") if isinstance(tree, dict) else None
    names = [str(name) for name in sets] if isinstance(sets, list) else []
    lexica = [DataFolder(options["data"]).lexicon(lexicon)] if isinstance(lexicon, str) else []
    asked = tree.get("questions") if isinstance(tree, dict) else None
    questions = [Path(asked)] if isinstance(asked, str) else []
    return [*found, *lexica, *questions, *_word_times(tree, names), *_manifests(options, *names)]


def _word_times(tree: object, names: list[str]) -> list[Path]:
    """Returns the files with times of words that mixtures begin with."""
    run = _part(tree, "data").get("alignments")
    if not isinstance(run, str):
        return []
    folder = RunFolder(Path(run))
    return [path for name in names if (path := folder.words_said(name)) is not None]


def _pronounced(options: Options) -> list[Path]:
    source, aligned = Path(options["source"]), options["alignments"]
    return [
        *([] if aligned is None else [RunFolder(aligned).frames(name) for name in options["sets"]]),
        *options["texts"],
        *_manifests(options, *options["sets"]),
        *([source] if source.is_file() else []),
    ]


def _graph(options: Options) -> list[Path]:
    run, data, lexicon = RunFolder(options["run"]), DataFolder(options["data"]), options["lexicon"]
    hmm = [run.hmm / "tree.json", run.hmm / "transitions.safetensors"] if run.hmm.is_dir() else []
    lexica = [] if lexicon is None else [data.lexicon(lexicon)]
    return [data.ngram(options["arpa"]), run.spec, *hmm, *lexica]


def _chained(options: Options) -> list[Path]:
    sets = (*options["sets"], *options["dev"])
    if options["source"] is None:
        lexica = [] if options["lexicon"] is None else [options["lexicon"]]
        return [*lexica, *_manifests(options, *sets)]
    aligned = RunFolder(options["source"])
    return [*map(aligned.frames, sets), *_manifests(options, *options["sets"])]


def _adapted(options: Options) -> list[Path]:
    run, name = RunFolder(options["run"]), options["set_name"]
    lexicon = options["lexicon"]
    lexica = [] if lexicon is None else [DataFolder(options["data"]).lexicon(lexicon)]
    found = [run.average, *_manifests(options, name), *lexica]
    if options["adapt"] in ("none", "reference"):
        return found
    return [*found, run.decoded_set(options["adapt"], f"{name}-first").nbest]


def _averaged(options: Options) -> list[Path]:
    run = RunFolder(options["run"])
    return [run.index, run.log] if options["by"] else [run.index]


READ: dict[str, Callable[[Options], list[Path]]] = {
    "align": _aligned,
    "average": _averaged,
    "chain": _chained,
    "check": _spec,
    "decode": _searched,
    "features": _adapted,
    "gmm": _mixtures,
    "graph": _graph,
    "lexicon": _pronounced,
    "ngram": _counted,
    "perplexity": lambda options: [
        *_model_and_set(options),
        *([] if options["arpa"] is None else [options["arpa"]]),
    ],
    "prior": _model_and_set,
    "score": _scored,
    "search-errors": lambda options: [_decoded(options).nbest],
    "tokenizer": lambda options: [
        *options["texts"],
        *_manifests(options, options["set_name"]),
    ],
    "train": _spec,
    "tune": _searched,
}
