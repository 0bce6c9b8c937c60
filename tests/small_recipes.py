"""The recipes' specs as small models, with batches, trainers and all that their searches need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.config.build import build
from asrkit.data.batch import Batch
from asrkit.experiment import Experiment, load_spec
from asrkit.experiment.decode_spec import searches_of
from asrkit.experiment.system import Encodings, Reads
from asrkit.lm.corpus import index_sentences
from asrkit.lm.interpolation import InterpolationWeights
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.ngram import NgramModel
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.lf_mmi import LfMmiHead
from asrkit.models.heads.phone_ctc import PhoneCtcHead
from asrkit.models.interfaces import TrainableModel
from asrkit.models.language_model import LanguageModel
from asrkit.nn.ready_made import ReadyMade
from asrkit.scorers.interfaces import Hypothesis, SentenceScores
from asrkit.scorers.loader import FoundHead, NgramUnits
from asrkit.scorers.stand_ins import NO_GRAPH
from asrkit.search.forced import forced
from asrkit.search.search import Search
from asrkit.text.vocabulary import Vocabulary
from asrkit.training import trainer as trainer_module
from asrkit.training.distributed import World
from asrkit.training.job import Job
from asrkit.training.trainer import Trainer
from asrkit.wfst.graph_file import DecodingGraph
from tests.recipes_test import RECIPES, SEARCHES, SPECS, shrink

CPU = torch.device("cpu")
VOCABULARY = Vocabulary([f"l{i}" for i in range(12)])
SECONDS = (0.32, 0.26, 0.24)
BASES = {"an4": "conformer", "librispeech": "base", "tedlium2": "base"}
PER_STEP = ("optimizer", "freeze", "weight_changes", "gradient_noise", "accumulate")
HYBRID = ("states", "lists")
"""Scorers of searches that need a graph of an HMM, or what such searches have found."""
FILES = ("prior", "arpa", "run")
NUMBERS = ("name", "prior_scale", "weight")
HEADS = ("attention", "ctc", "transducer")


@cache
def spec(path: Path) -> Any:
    found = load_spec(path)
    shrink(found.tree["model"])
    update = found.tree["training"].setdefault("update", {})
    update["precision"] = "fp32"  # the device has no autocast
    if "frame_dim" in found.tree["model"].get("decoder", {}):
        found.tree["model"]["decoder"]["frame_dim"] = 16
    return found


def make(path: Path, layers: int = 1) -> TrainableModel:
    """Returns the model of a spec, its encoder with so many layers."""
    torch.manual_seed(0)
    found = deepcopy(spec(path))
    if layers > 1:
        found.tree["model"]["encoder"]["num_layers"] = layers
    model: TrainableModel = build(Experiment, found).model(vocabulary=VOCABULARY)
    return model


def batch_for(model: TrainableModel) -> Batch:
    """Returns three utterances of noise with two, three and one label."""
    draw = torch.Generator().manual_seed(1)
    rate = model.features.sample_rate if isinstance(model, AsrModel) else 16000
    lengths = torch.tensor([int(rate * seconds) for seconds in SECONDS])
    signal = torch.randint(-3000, 3000, (3, int(lengths[0])), generator=draw).to(torch.int16)
    labels, alignment = torch.randint(0, 12, (3, 3), generator=draw), None
    if isinstance(model, AsrModel) and isinstance(model.features, ReadyMade):
        signal = torch.randn(3, int(lengths[0]), model.features.dim, generator=draw)
        alignment = torch.randint(0, 12, signal.shape[:2], generator=draw)
        heads = model.named_heads().values()
        if any(isinstance(head, LfMmiHead) for head in heads):
            frames = torch.arange(signal.shape[1])  # states of phones, and those of first frames
            alignment = (frames // 16 * 2 + (frames % 16 > 0)).repeat(3, 1)
        alignment[torch.arange(signal.shape[1]) >= lengths[:, None]] = -1
        if any(isinstance(head, PhoneCtcHead) for head in heads):
            alignment = alignment[:, :3]
        return Batch(
            ["a", "b", "c"], signal, lengths, labels[:, :2], torch.full((3,), 2), alignment
        )
    if isinstance(model, AsrModel) and model.given_targets:
        frames = model.target_frames(lengths)
        alignment = torch.full((3, int(frames.max())), 12)
        alignment[:, 1], alignment[:, 2] = labels[:, 0], labels[:, 1]
        alignment[torch.arange(alignment.shape[1]) >= frames[:, None]] = -1
        return Batch(
            ["a", "b", "c"], signal, lengths, labels[:, :2], torch.full((3,), 2), alignment
        )
    return Batch(["a", "b", "c"], signal, lengths, labels, torch.tensor([2, 3, 1]), alignment)


class Source:
    """An epoch of one batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def num_batches(self, epoch: int) -> int:
        return 1

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        yield self.batch


def make_trainer(path: Path, run: Path, device: torch.device) -> Trainer:
    experiment = build(Experiment, deepcopy(spec(path)))
    model = make(path)
    source = Source(batch_for(model))
    world = World(0, 1, device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "init_distributed", lambda: world)
        trainer: Trainer = experiment.training(model=model, job=Job(source, source, run, seed=1))
    return trainer


def distinct(paths: list[Path]) -> list[Path]:
    """Returns the first spec of those that differ in data and numbers only."""
    found: dict[str, Path] = {}
    for path in paths:
        tree = spec(path).tree
        settings = {**tree["training"], **tree["training"].get("update", {})}
        kinds = {key: kinds_of(settings.get(key)) for key in PER_STEP}
        found.setdefault(json.dumps([kinds_of(tree["model"]), kinds], sort_keys=True), path)
    return list(found.values())


def kinds_of(node: Any) -> Any:
    """Returns what a spec's node is made of, without numbers, and files only as there or not."""
    if isinstance(node, dict):
        kinds = {k: k in FILES or kinds_of(v) for k, v in node.items()}
        found = {k: v for k, v in kinds.items() if v or k in HEADS}
        return {k: v for k, v in found.items() if k not in NUMBERS}
    if isinstance(node, list):
        return [kinds_of(value) for value in node]
    if isinstance(node, str):
        return "mini_lstm" if "mini_lstm" in node else node
    return node if isinstance(node, bool) else None


@cache
class Parts:
    """Where searches find small models without runs: a loader.

    Args:
        base: The spec of the decoded model, and of other runs.
        device: Where they are.
    """

    def __init__(self, base: Path, device: torch.device) -> None:
        self.vocabulary, self.device = VOCABULARY, device
        self.models = [make(base).to(device).eval() for _ in range(2)]
        self.lm_folder = base.parent / "lm"

    def head(self, name: str, run: Path | None, checkpoint: str) -> FoundHead:
        number = int(run is not None)
        model = self.models[number]
        assert isinstance(model, AsrModel)
        return FoundHead(model.named_heads()[name], name, Reads(number))

    def language_model(self, run: Path, checkpoint: str) -> LanguageModel:
        if not run.name.startswith("mini_lstm"):
            names = ("lstm.yaml", "mini.yaml", "toy.yaml", "transformer.yaml")
            paths = [p for p in (self.lm_folder / name for name in names) if p.is_file()]
            return self._language_model(paths[len(run.name) % len(paths)])
        model = self._language_model(self.lm_folder / "mini_lstm_ilm.yaml")
        speech = self.models[0]
        assert isinstance(speech, AsrModel)
        decoder: Any = speech.heads["attention"]
        mini: Any = model.decoder
        mini.decoder.load_state_dict(decoder.decoder.state_dict())
        return model

    @cache  # noqa: B019 - as long as the tests
    def _language_model(self, path: Path) -> LanguageModel:
        model = make(path).to(self.device).eval()
        assert isinstance(model, LanguageModel)
        return model

    def ngram(self, path: Path, units: NgramUnits = "labels") -> NgramModel:
        if units == "words":
            raise NotImplementedError("labels of small recipes don't spell words")
        corpus = index_sentences([VOCABULARY.symbols, VOCABULARY.symbols[::-2]], VOCABULARY.symbols)
        model = NgramModel(estimate(corpus, 2, []).ngrams, VOCABULARY)
        return model.to(self.device)

    def lists(self, search: str, run: Path | None, most: int) -> Callable[[str], list[Hypothesis]]:
        raise NotImplementedError("small recipes have decoded nothing")

    def interpolation(
        self, arpa: Path, run: Path, checkpoint: str, weights: InterpolationWeights
    ) -> SentenceScores:
        raise NotImplementedError("small recipes have no n-gram model of words")

    def graph(self, path: Path) -> DecodingGraph:
        return NO_GRAPH

    def prior(
        self, path: Path, run: Path | None, checkpoint: str, outputs: object = None
    ) -> Tensor:
        return torch.linspace(-1.0, 0.0, len(VOCABULARY) + 1).log_softmax(0)

    @cache  # noqa: B019
    def encode(self) -> Encodings:
        first = self.models[0]
        assert isinstance(first, AsrModel)
        batch = batch_for(first).to(self.device)
        encoded = [m.encode(batch.signal, batch.signal_lengths) for m in self.models]  # type: ignore[operator]
        return Encodings(encoded)


def decoded(
    base: Path, node: Any, device: torch.device, references: Sequence[list[int]] = ()
) -> list[list[Hypothesis]]:
    """Returns the n-best lists of a search, or one list of what it says of references."""
    parts = Parts(base, device)
    search = build(Search, node, "decoding")
    loaded = search.load(parts)
    with torch.inference_mode():
        encoded = parts.encode()
        if not references:
            return loaded.run(encoded)
        held = forced(loaded, encoded, references, len(VOCABULARY))
        return [[each for each in held if each is not None]]


def small(node: Any) -> Any:
    """Returns a search with beams of three."""
    if isinstance(node, dict):
        return {k: 3 if k == "beam_size" else small(v) for k, v in node.items()}
    return node


def base_of(path: Path) -> Path:
    """Returns the spec of the model that a file's searches are for."""
    if path.parent.name != "decode":
        return path
    recipe = path.parents[2].name
    return RECIPES / recipe / "conf" / f"{BASES[recipe]}.yaml"


def is_hybrid(node: Any) -> bool:
    """Returns whether a scorer of a search, or of one within it, is of a hybrid system."""
    if not isinstance(node, dict):
        return False
    return node.get("type") in HYBRID or any(is_hybrid(value) for value in node.values())


def all_searches() -> list[Any]:
    """Returns base spec and node of all searches in recipes, those that differ in numbers once.

    Searches of hybrid systems are left out: they need a graph of an HMM, and run on the CPU.
    """
    found: dict[str, Any] = {}
    for path in [*SEARCHES, *SPECS]:
        for name, search in searches_of(load_spec(path)).items():
            node = search.node
            if is_hybrid(node):
                continue
            base = base_of(path)
            heads = spec(base).tree["model"].get("heads")
            key = json.dumps([kinds_of(node), kinds_of(heads)], sort_keys=True)
            label = f"{path.parts[-4 if path in SEARCHES else -3]}-{path.stem}-{name}"
            found.setdefault(key, pytest.param(base, small(node), id=label))
    return list(found.values())
