"""Words aligned with scores of tied states: times that are known, and all that can go wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from asrkit.data.alignments import read_alignments as read_states
from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
from asrkit.errors import UserError
from asrkit.experiment.align_states import StateAligner, StateOptions, state_aligner
from asrkit.experiment.set_alignments import SetAlignments
from asrkit.hmm.alignments import Alignment, read_alignments
from asrkit.hmm.gaussians import Mixtures
from asrkit.hmm.graphs import transitions_of
from asrkit.hmm.hmm_folder import Hmm
from asrkit.models.interfaces import Encoded
from asrkit.models.kinds import SpeechModel
from asrkit.run_folder import RunFolder
from asrkit.scorers.interfaces import FrameScores
from asrkit.text.outputs import Outputs
from tests.hmm.toy import LEXICON, TOPOLOGY, TREE, Speaker

HMM = Hmm(TREE, TOPOLOGY, transitions_of(TOPOLOGY, TREE), LEXICON)
UNUSED = 2


class KnownStates(nn.Module):
    """A model and head that know the Gaussian of every state, and have outputs that none uses."""

    def __init__(self, speaker: Speaker) -> None:
        super().__init__()
        self.means: Tensor
        self.register_buffer("means", torch.from_numpy(speaker.means).float())
        self.outputs = Outputs.states(TREE.num_states + UNUSED)
        self.features = SimpleNamespace(frame_shift=0.01)
        self.asked = 0

    def named_heads(self) -> dict[str, Any]:
        return {"states": self}

    def encode(self, signal: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(signal, lengths)

    def state_scores(self, encoded: Encoded) -> FrameScores:
        self.asked += 1
        distances = (encoded.frames[:, :, None] - self.means).square().sum(3)  # (B, T, S)
        unused = distances.new_full((*distances.shape[:2], UNUSED), 1e6)
        return FrameScores(torch.cat([-0.5 * distances, unused], 2), encoded.lengths)


class Mixed(KnownStates):
    """The same model, whose states are known to be Gaussians."""

    @property
    def mixtures(self) -> Mixtures:
        count = torch.arange(TREE.num_states + 1)
        return Mixtures(
            count, torch.zeros(len(self.means)), self.means, torch.ones_like(self.means)
        )


def aligner(speaker: Speaker, options: StateOptions) -> StateAligner:
    model = KnownStates(speaker)
    return StateAligner(cast(SpeechModel, model), model, HMM, "digest", options)


def batch_of(frames: list[Tensor], texts: list[str]) -> tuple[Batch, list[UtteranceInfo]]:
    names = [f"u{number}" for number in range(len(frames))]
    lengths = torch.tensor([len(one) for one in frames])
    signal = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True, padding_value=7.0)
    nothing = torch.zeros(len(frames), 0, dtype=torch.int64)
    batch = Batch(names, signal, lengths, nothing, torch.zeros(len(frames), dtype=torch.int64))
    return batch, [UtteranceInfo(n, "s", t, 1.0) for n, t in zip(names, texts, strict=True)]


def drawn(speaker: Speaker, count: int) -> tuple[list[Tensor], list[Alignment], list[str]]:
    texts = [speaker.words(1 + number % 5) for number in range(count)]
    said = [speaker.say(words) for words in texts]
    return [s[0] for s in said], [s[1] for s in said], [" ".join(words) for words in texts]


def test_phones_are_found_within_two_frames_whatever_is_beside_them_in_a_batch() -> None:
    speaker = Speaker(seed=3)
    frames, real, texts = drawn(speaker, 40)
    align = aligner(speaker, StateOptions())
    found = align(*batch_of(frames, texts))
    assert [one.id for one in found] == [f"u{number}" for number in range(40)]
    close = total = 0
    for one, truth in zip(found, real, strict=True):
        assert len(list(one.symbols)) == len(truth)
        spans = truth.phone_spans()
        total += len(spans)
        if [TREE.phones.names[span.label] for span in spans] == [p.name for p in one.phones]:
            pairs = zip(one.phones, spans, strict=True)
            close += sum(abs(a.begin - b.start) <= 2 and abs(a.end - b.end) <= 2 for a, b in pairs)
    assert close >= 0.95 * total
    alone = [align(*batch_of([one], [text]))[0] for one, text in zip(frames, texts, strict=True)]
    assert [list(one.symbols) for one in alone] == [list(one.symbols) for one in found]


def test_files_have_words_phones_and_states(tmp_path: Path) -> None:
    speaker = Speaker(seed=4)
    frames, (real, *_), texts = drawn(speaker, 3)
    align = aligner(speaker, StateOptions())
    found = SetAlignments(align.targets, align.tree)
    for one in align(*batch_of(frames, texts)):
        found.add(one, 1.0, align.frame_seconds(0))
    run = RunFolder(tmp_path)
    paths = found.write(run, "dev")
    assert paths == [run.times("dev"), run.phone_times("dev"), run.frames("dev")]
    words = [line.split() for line in run.times("dev").read_text().splitlines()]
    phones = [line.split() for line in run.phone_times("dev").read_text().splitlines()]
    assert [" ".join(w[4] for w in words if w[0] == f"u{n}") for n in range(3)] == texts
    assert phones[0][:3] == ["u0", "1", "0.000"]
    last = [row for row in phones if row[0] == "u0"][-1]
    assert float(last[2]) + float(last[3]) == pytest.approx(len(real) * 0.01)
    whole = read_alignments(run.frames("dev"))["u0", 1.0]
    states = read_states([run.frames("dev")], align.targets).of("u0", 1.0).tolist()
    assert whole.states.tolist() == states
    assert whole.tied_by(TREE).states.tolist() == states
    spans = [(TREE.phones.names[s.label], s.start / 100) for s in whole.phone_spans()]
    assert spans == [(row[4], float(row[2])) for row in phones if row[0] == "u0"]


def test_what_has_no_path_or_no_pronunciation_is_named_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    speaker = Speaker(seed=5)
    frames, _, texts = drawn(speaker, 3)
    frames[0], texts[0] = frames[0][:4], "ab ab"
    texts[1] += " zebra"
    align = aligner(speaker, StateOptions())
    assert [one.id for one in align(*batch_of(frames, texts))] == ["u2"]
    unknown = "words without pronunciation, which another lexicon (--lexicon) may have"
    assert align.left_out == {"no path": 1, unknown: 1}
    assert "left out: u0: no path of its 2 words through its 4 frames" in caplog.text
    assert "left out: u1: there is no pronunciation of 'zebra'" in caplog.text
    noisy = aligner(speaker, StateOptions(unknown_as_noise=True))
    assert [one.id for one in noisy(*batch_of(frames, texts))] == ["u1", "u2"]


class Shorter(KnownStates):
    """The same model, whose encoder leaves out up to two frames at the end."""

    def encode(self, signal: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(signal, lengths // 3 * 3, feature_lengths=lengths)


def test_every_feature_frame_has_a_state_even_if_the_encoder_has_fewer() -> None:
    speaker = Speaker(seed=8)
    frames, _, texts = drawn(speaker, 9)
    assert {len(one) % 3 for one in frames} == {0, 1, 2}
    model = Shorter(speaker)
    found = StateAligner(cast(SpeechModel, model), model, HMM, "", StateOptions())(
        *batch_of(frames, texts)
    )
    assert [len(list(one.symbols)) for one in found] == [len(one) for one in frames]


def test_scale_and_prior_change_the_scores() -> None:
    speaker = Speaker(seed=6)
    frames, _, texts = drawn(speaker, 2)
    batch, _ = batch_of(frames, texts)
    encoded = Encoded(batch.signal, batch.signal_lengths)
    lengths, plain = aligner(speaker, StateOptions())._scores(encoded)
    prior = torch.linspace(-3, -1, TREE.num_states + UNUSED)
    options = StateOptions(acoustic_scale=0.5, prior_scale=0.3)
    model = KnownStates(speaker)
    scaled = StateAligner(cast(SpeechModel, model), model, HMM, "", options, prior)
    assert lengths == [len(one) for one in frames]
    assert plain.shape == (2, max(lengths), TREE.num_states)
    expected = 0.5 * (plain - 0.3 * prior[: TREE.num_states])
    torch.testing.assert_close(scaled._scores(encoded)[1], expected)


def test_mixtures_score_only_the_states_that_the_search_comes_to() -> None:
    speaker = Speaker(seed=7)
    frames, _, texts = drawn(speaker, 10)
    plain = KnownStates(speaker)
    head = Mixed(speaker)
    found = [
        StateAligner(cast(SpeechModel, model), model, HMM, "", StateOptions())
        for model in (plain, head)
    ]
    one, two = (align(*batch_of(frames, texts)) for align in found)
    assert (plain.asked, head.asked) == (1, 0)
    assert [list(a.symbols) for a in one] == [list(b.symbols) for b in two]
    scaled = StateAligner(cast(SpeechModel, head), head, HMM, "", StateOptions(acoustic_scale=2.0))
    assert len(scaled(*batch_of(frames, texts))) == 10
    assert head.asked == 1


def test_scores_that_are_not_numbers_are_told() -> None:
    speaker = Speaker()
    frames, _, texts = drawn(speaker, 1)
    frames[0][3, 2] = torch.nan
    for model in (KnownStates(speaker), Mixed(speaker)):
        align = StateAligner(cast(SpeechModel, model), model, HMM, "", StateOptions())
        with pytest.raises(UserError, match="u0 can't be aligned: .*finite"):
            align(*batch_of(frames, texts))


def test_a_head_with_fewer_states_than_the_tree_is_refused(tmp_path: Path) -> None:
    HMM.write(tmp_path / "hmm")
    model = KnownStates(Speaker())
    run = RunFolder(tmp_path)
    arguments = (cast(SpeechModel, model), "states", model, run, tmp_path / "w.pt", StateOptions())
    assert state_aligner(*arguments).targets.outputs == Outputs.states(TREE.num_states)
    model.outputs = Outputs.states(TREE.num_states - 1)
    with pytest.raises(UserError, match=f"has {TREE.num_states - 1} states, the tree of"):
        state_aligner(*arguments)
    with pytest.raises(ValueError, match="acoustic_scale must be above 0"):
        StateOptions(acoustic_scale=0.0)
