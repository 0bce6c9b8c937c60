"""CTC of phones from the command line: phones of alignments, training, graph, decoding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import MonoCut, SupervisionSegment
from numpy.typing import NDArray

from asrkit.data.feature_sets import write_feature_set
from asrkit.data.frame_targets import FrameTargets
from asrkit.experiment.said_phones import read_phones
from asrkit.experiment.set_alignments import AlignedUtterance, SetAlignments
from asrkit.hmm.graphs import transitions_of
from asrkit.hmm.hmm_folder import Hmm, digest_of
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.timed_phones import TimedPhone, alignment_of_phones
from asrkit.hmm.topology import SILENCE, HmmTopology, Phones
from asrkit.hmm.tree import monophone_tree
from asrkit.run_folder import RunFolder
from asrkit.scoring.nist.ctm import CtmWord, read_ctm
from asrkit.text.outputs import Outputs
from tests.cli_test import asrkit
from tests.gmm_cli_test import done

pytest.importorskip("kaldifst")
PHONES = ["AH", "N", "T", "UW", "W"]
LEXICON: dict[str, list[tuple[str, ...]]] = {
    "one": [("W", "AH", "N")],
    "two": [("T", "UW"), ("T", "AH")],
    "tun": [("T", "AH", "N")],
    "nun": [("N", "AH", "N")],
}
SAID = [("one", 0), ("two", 0), ("two", 1), ("tun", 0), ("nun", 0)]
SPEC = """
text: {type: sentencepiece, name: bpe}
data:
  {train: [train], dev: [train], batches: {max_seconds: 20.0}, num_workers: 0, sample_rate: 100,
   alignments: mixtures}
model:
  features: {type: ready_made, dim: 6}
  encoder: identity
  heads: {phones: {type: phone_ctc, weight: 1.0, dropout: 0.0, phones: [AH, 'N', T, UW, W]}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.01}}
"""
MANY_FRAMES = """encoder:
    {type: blstm, hidden_dim: 4, num_layers: 1, pools: [40], dropout: 0.0}"""
SEARCHES = """
tuning: {phones: [0.2, 1.5]}
decoding:
  words:
    type: graph
    frames: phones
    lattices: true
    scorers:
      lm: {type: graph_lm, weight: 1.0}
      phones: {type: states, weight: 0.6, prior: prior/phones.json, prior_scale: 0.1}
      graph: {type: graph, weight: 1.0, graph: graph/words.safetensors}
  greedy: {type: ctc_greedy, scorers: {phones: 1.0}}
"""


def hmm() -> Hmm:
    topology, tree = HmmTopology(1, 1), monophone_tree(Phones(PHONES), HmmTopology(1, 1))
    words = {w: [Pronunciation(p) for p in said] for w, said in LEXICON.items()}
    return Hmm(tree, topology, transitions_of(topology, tree), Lexicon(words))


@dataclass
class Utterance:
    """What is said, and the phones of its frames: two each, with silence around equal ones."""

    name: str
    said: list[tuple[str, int]]

    @property
    def phones(self) -> list[str]:
        return [phone for word, variant in self.said for phone in LEXICON[word][variant]]

    @property
    def frames(self) -> list[str]:
        frames = [SILENCE]
        for phone in self.phones:
            frames += [SILENCE] * (phone == frames[-1]) + [phone] * 2
        return [*frames, SILENCE]

    @property
    def times(self) -> list[tuple[str, int, int]]:
        """Words, their first frames and ends."""
        frames, found, at = self.frames, [], 1
        for word, variant in self.said:
            at += frames[at] == SILENCE
            begin = at
            for number in range(len(LEXICON[word][variant])):
                at += (frames[at] == SILENCE and number > 0) + 2
            found.append((word, begin, at))
        return found

    @property
    def features(self) -> NDArray[np.float32]:
        """(T, 6): which phone is said; silence is last, as blank is."""
        order = [*PHONES, SILENCE]
        return np.eye(6, dtype=np.float32)[[order.index(name) for name in self.frames]]

    @property
    def cut(self) -> MonoCut:
        cut = MonoCut(self.name, 0, len(self.frames) / 100, 0)
        words = {"text": " ".join(word for word, _ in self.said), "speaker": "s"}
        cut.supervisions = [SupervisionSegment(cut.id, cut.id, 0, cut.duration, **words)]
        return cut

    def aligned(self, model: Hmm) -> AlignedUtterance:
        ids, frames = model.tree.phones.ids, self.frames
        starts = [n for n in range(1, len(frames)) if frames[n] != frames[n - 1]]
        timed = [TimedPhone(ids[frames[n]], n, n + 2, 0) for n in starts if frames[n] != SILENCE]
        found = alignment_of_phones(timed, len(frames), model)
        return AlignedUtterance(self.name, found.states, [], states=found)


DRAW = np.random.default_rng(0)
UTTERANCES = [
    Utterance(f"u{number}", [SAID[n] for n in DRAW.integers(len(SAID), size=4)])
    for number in range(30)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, alignments of mixtures, and a network that hears every phone."""
    folder, model = tmp_path_factory.mktemp("phones"), hmm()
    write_feature_set(folder / "data", "train", ((one.cut, one.features) for one in UTTERANCES))
    model.write(folder / "mixtures" / "hmm")
    targets = FrameTargets(Outputs.states(model.num_states), rate="features")
    found = SetAlignments(targets, digest_of(folder / "mixtures" / "hmm"))
    for one in UTTERANCES:
        found.add(one.aligned(model), 1.0, 0.01)
    found.write(RunFolder(folder / "mixtures"), "train")
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "searches.yaml").write_text(SEARCHES)
    train = ("--data", folder / "data", "--set", "train")
    done("tokenizer", "bpe", *train, "--size", 14, "--name", "bpe")
    done("ngram", *train, "--order", 2, "--units", "words", "--name", "words")
    run = ("--run", folder / "run", "--data", folder / "data")
    done("train", folder / "spec.yaml", *run, f"data.alignments={folder / 'mixtures'}")
    done("average", "--run", folder / "run", "--best", 1)
    hear_all(folder / "run" / "checkpoints" / "average.pt")
    done("prior", *run, "--set", "train", "--head", "phones")
    done("graph", *run, "--arpa", "words", "--name", "words")
    return folder


def hear_all(path: Path) -> None:
    """Gives the network weights that need no training."""
    state = torch.load(path, weights_only=True)
    state["model"]["heads.phones.output.weight"] = 9 * torch.eye(6)
    state["model"]["heads.phones.output.bias"] = torch.zeros(6)
    torch.save(state, path)


def test_words_are_found_through_the_lexicon_and_spelled_by_the_tokenizer(place: Path) -> None:
    at = ("--run", place / "run", "--set", "train", "--search", "words")
    done("tune", *at, "--data", place / "data", "--spec", place / "searches.yaml", "--decodes", 1)
    done("score", *at)
    score = json.loads((place / "run/decode/words/train/score.json").read_text())
    assert score["wer"] == 0.0
    assert "0 search errors" in done("search-errors", *at, "--data", place / "data").output


def test_words_are_timed_by_their_phones_in_transcripts_and_in_lattices(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = ("--run", place / "run", "--data", place / "data", "--set", "train")
    done("align", *at)
    timed: dict[str, list[CtmWord]] = {}
    for word in read_ctm(place / "run/align/train.ctm"):
        timed.setdefault(word.recording, []).append(word)
    for one in UTTERANCES:
        spoken = timed[one.name]
        assert [word.word for word in spoken] == [word for word, *_ in one.times]
        found = [100 * at for word in spoken for at in (word.start, word.start + word.duration)]
        assert found == pytest.approx([at for _, *span in one.times for at in span])
    phones = [*read_ctm(place / "run/align/train.phones.ctm")]
    assert [word.word for word in phones] == [
        phone for one in sorted(UTTERANCES, key=lambda one: one.name) for phone in one.phones
    ]
    done("decode", *at, "--spec", place / "searches.yaml", "--search", "words")
    assert "times when they were written" not in caplog.text
    for word in read_ctm(place / "run/decode/words/train/words.ctm"):
        spans = [(w.word, round(100 * w.start)) for w in timed[word.recording]]
        assert (word.word, round(100 * word.start)) in spans


def test_words_that_can_not_be_pronounced_are_left_out_and_named(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = ("--run", place / "run", "--data", place / "data", "--set", "train")
    lines = (place / "run/hmm/lexicon.txt").read_text().splitlines()
    few = tmp_path / "few.txt"
    few.write_text("".join(f"{line}\n" for line in lines if line.split()[0] != "nun"))
    done("align", *at, "--lexicon", few)
    assert "there is no pronunciation of 'nun'" in caplog.text
    few.write_text("one AA\ntwo AA\ntun AA\nnun AA\n")
    said = asrkit("align", *at, "--lexicon", few)
    assert said.exit_code == 2
    assert "with phones that the model lacks: AA" in caplog.text
    assert "no utterance of train could be aligned" in " ".join(said.output.split())


def test_phones_are_those_that_alignments_have_chosen_at_every_speed(place: Path) -> None:
    targets = FrameTargets(Outputs.classes_with_blank(PHONES), rate="sequence")
    path = place / "mixtures/align/train.safetensors"
    found = read_phones([path], targets, place / "mixtures/hmm")
    for one in UTTERANCES:
        assert [PHONES[n] for n in found.of(one.name, 1.0).tolist()] == one.phones
    last = json.loads((place / "run/log.jsonl").read_text().splitlines()[-1])
    assert last["train"]["phones.infeasible"] == 0.0


def test_what_can_not_be_is_named(place: Path) -> None:
    run, data = ("--run", place / "run"), ("--data", place / "data")
    at = (*run, *data, "--set", "train")
    said = asrkit("align", *at, "--head", "phones", "--unknown-as-noise").output
    assert "scales and priors, and noise for unknown words, are for heads of tied states" in (
        " ".join(said.split())
    )
    said = asrkit("decode", *at, "--spec", place / "searches.yaml", "--search", "greedy").output
    assert "scores tied states or phones, not frames" in " ".join(said.split())
    other = ("--run", place / "other", *data, f"data.alignments={place / 'mixtures'}")
    spec = place / "other.yaml"
    spec.write_text(SPEC.replace(", UW", ", UH"))
    said = asrkit("train", spec, *other).output
    assert "lacks UW: name all of them below the head's `phones`" in " ".join(said.split())
    spec.write_text(SPEC.replace("encoder: identity", MANY_FRAMES))
    said = asrkit("train", spec, *other).output
    assert "phones need" in said
    assert "frames of the encoder, which has 1" in said
