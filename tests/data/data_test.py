from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lhotse import CutSet
from numpy.typing import NDArray

from asrkit.data.audio import AudioError, opened, read_samples
from asrkit.data.cuts import at_speed, read_cut
from asrkit.data.dataset import CutData
from asrkit.data.decode_batches import decode_batches
from asrkit.data.demands import Demands
from asrkit.data.feasibility import Fitness, check_set
from asrkit.data.manifests import (
    Source,
    Unusable,
    open_set,
    read_unusable,
    rejected_path,
    without,
    write_manifest,
    write_unusable,
)
from asrkit.data.orders import ChunkSortedOrder, LengthOrder, Order, RandomOrder
from asrkit.data.sampling import Sampler
from asrkit.data.set_facts import DUPLICATE_NAME
from asrkit.data.settings import Batches, DataSettings, DecodeBatches, Limits
from asrkit.data.training_limits import TrainingLimits
from asrkit.errors import UserError
from asrkit.text.segmentations import BpeDropout
from asrkit.text.tokenizers import CharacterTokenizer, SentencePieceTokenizer, train_tokenizer


def write_audio(path: Path, seconds: float, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    samples = random.integers(-3000, 3000, int(seconds * 16000)).astype(np.int16)
    soundfile.write(path, samples, 16000, subtype="PCM_16")
    return path


def corpus(folder: Path, count: int = 6) -> list[Source]:
    return [
        Source(f"u{i}", write_audio(folder / f"u{i}.flac", 0.3 + 0.2 * i, i), "ab ba", f"s{i % 2}")
        for i in range(count)
    ]


def tokenizer(data: Path) -> CharacterTokenizer:
    train_tokenizer("characters", ["ab ba"], None, data / "text", "characters")
    return CharacterTokenizer(data / "text")


@pytest.mark.parametrize(("suffix", "kind"), [("flac", "FLAC"), ("wav", "WAV"), ("sph", "NIST")])
def test_samples_are_read_as_written(tmp_path: Path, suffix: str, kind: str) -> None:
    samples = np.arange(-500, 500, dtype=np.int16)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, samples, 16000, subtype="PCM_16", format=kind)
    assert np.array_equal(read_samples(path, 16000), samples)
    with pytest.raises(AudioError, match="has 16000 samples per second, expected 8000"):
        read_samples(path, 8000)


def test_bad_audio_says_what_is_wrong(tmp_path: Path) -> None:
    cases = {
        "missing.flac": (None, "is missing"),
        "empty.flac": (b"", "the file is empty"),
        "text.flac": (b"this is no audio", "can't be read as audio"),
        "short.sph": (
            b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\n",
            "sph2pipe",
        ),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(AudioError, match=message):
            read_samples(tmp_path / name)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.int16), 16000)
    with pytest.raises(AudioError, match="has no samples"):
        read_samples(tmp_path / "none.wav")


def test_manifests_leave_out_what_is_wrong_and_say_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = corpus(tmp_path, 2)
    (tmp_path / "broken.flac").write_bytes(b"fLaC")
    (tmp_path / "empty.flac").touch()
    bad = [
        Source("broken", tmp_path / "broken.flac", "ab", "s"),
        Source("empty", tmp_path / "empty.flac", "ab", "s"),
        Source("gone", tmp_path / "gone.flac", "ab", "s"),
        Source("silent", good[0].path, " ", "s"),
        good[1],
    ]
    data = tmp_path / "data"
    with caplog.at_level(logging.WARNING):
        assert write_manifest(data, "train", [*good, *bad], demands=Demands("words")) == 2
    assert [cut.id for cut in open_set(data, ["train"])] == ["u0", "u1"]
    reasons = {u.id: u.reason for u in read_unusable(rejected_path(data, "train"))}
    assert reasons == {
        "broken": "unreadable audio",
        "empty": "unreadable audio",
        "gone": "missing audio",
        "silent": "empty text",
        "u1": "duplicate name",
    }
    assert "5 utterances can't be used" in caplog.text
    with pytest.raises(UserError, match="no utterance can be used; the first: gone"):
        write_manifest(data, "none", [bad[2]])


def test_segments_of_a_long_file_are_read_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(1).integers(-9000, 9000, 40 * 16000).astype(np.int16)
    for suffix, kind in (("sph", "NIST"), ("flac", "FLAC")):
        path = tmp_path / f"talk.{suffix}"
        soundfile.write(path, samples, 16000, subtype="PCM_16", format=kind)
        spans = [(0.0, 1.5), (20.25, 3.004), (39.0, 1.3)]  # the last ends 0.3 s too late
        sources = [Source(f"t{i}", path, "ab", "s", *span) for i, span in enumerate(spans)]
        headers = 0

        def counted(path: Path) -> soundfile.SoundFile:
            nonlocal headers
            headers += 1
            return opened(path)

        with monkeypatch.context() as patched:
            patched.setattr("asrkit.data.sources.opened", counted)
            write_manifest(tmp_path, suffix, sources)
        assert headers == 1
        cuts = list(open_set(tmp_path, [suffix]))
        assert [cut.recording.id for cut in cuts] == ["talk"] * 3
        for cut, (start, seconds) in zip(cuts, spans, strict=True):
            begin, end = round(start * 16000), round((start + seconds) * 16000)
            assert np.array_equal(read_cut(cut, 16000), samples[begin:end])


def test_of_a_long_file_only_the_segment_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / "talk.flac", 30.0)
    write_manifest(tmp_path, "all", [Source("u", path, "ab", "s", 20.0, 3.004)])
    (cut,) = open_set(tmp_path, ["all"])
    read: list[int] = []
    original = soundfile.SoundFile.read

    def counted(self: Any, frames: int = -1, *rest: Any, **options: Any) -> Any:
        read.append(frames)
        return original(self, frames, *rest, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    read_cut(cut, 16000)
    assert read == [round(3.004 * 16000)]


@pytest.mark.parametrize(
    ("start", "seconds"), [(-0.1, 1.0), (1.0, 0.0), (5.5, 1.0), (4.0, 2.0), (1.0, -2.0)]
)
def test_segments_outside_their_file_are_left_out(
    tmp_path: Path, start: float, seconds: float
) -> None:
    path = write_audio(tmp_path / "talk.wav", 5.0)
    good = Source("good", path, "ab", "s", 4.0, 1.4)
    write_manifest(tmp_path, "all", [good, Source("bad", path, "ab", "s", start, seconds)])
    (cut,) = open_set(tmp_path, ["all"])
    assert (cut.id, cut.start, cut.duration) == ("good", 4.0, 1.0)
    (bad,) = read_unusable(rejected_path(tmp_path, "all"))
    assert (bad.id, bad.reason) == ("bad", "outside the file")
    assert "talk.wav has 5.000 s, the utterance goes from" in bad.detail


def test_a_file_that_became_shorter_is_named(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "talk.wav", 5.0)
    write_manifest(tmp_path, "all", [Source("u", path, "ab", "s", 4.0, 1.0)])
    write_audio(path, 4.5)
    (cut,) = open_set(tmp_path, ["all"])
    with pytest.raises(AudioError, match="talk.wav has 72000 samples, expected some from 64000"):
        read_cut(cut, 16000)


def test_missing_sets_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    write_manifest(tmp_path / "data", "train", corpus(tmp_path, 1))
    with pytest.raises(UserError, match="no set 'dev'.*sets there: train"):
        open_set(tmp_path / "data", ["dev"])


def test_manifests_are_read_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(Path("u.flac"), 0.3)
    write_manifest(Path("data"), "train", [Source("u", Path("u.flac"), "ab", "s")])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(read_cut(next(iter(open_set(Path("../data"), ["train"]))), 16000)) == 4800


def test_damaged_lines_of_manifests_are_named(tmp_path: Path) -> None:
    write_manifest(tmp_path, "train", corpus(tmp_path, 3))
    path = tmp_path / "manifests" / "train.jsonl"
    whole = path.read_text().splitlines()
    for damaged in (whole[2][:100], '{"id": 3}'):
        path.write_text("\n".join([*whole[:2], damaged]))
        with pytest.raises(UserError, match=r"train.jsonl:3 is damaged"):
            open_set(tmp_path, ["train"])


def test_manifests_made_by_several_processes_are_the_same(tmp_path: Path) -> None:
    sources = corpus(tmp_path, 5)
    for name, jobs in (("one", 1), ("two", 2)):
        write_manifest(tmp_path, name, sources, jobs)
    one, two = ((tmp_path / "manifests" / f"{n}.jsonl").read_text() for n in ("one", "two"))
    assert one == two


orders: list[Order] = [
    RandomOrder(),
    LengthOrder(),
    LengthOrder(descending=True),
    ChunkSortedOrder(3),
]


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.lists(st.floats(0.2, 30.0), min_size=1, max_size=60),
    order=st.sampled_from(orders),
    sub_epochs=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_every_utterance_comes_once_per_pass(
    seconds: list[float], order: Order, sub_epochs: int, seed: int
) -> None:
    batches = Batches(60.0, 8, 3, order)
    options = DataSettings(["train"], ["dev"], batches, sub_epochs=sub_epochs, speeds=[0.9, 1.1])
    ids = [f"u{i}" for i in range(len(seconds))]
    sampler = Sampler(ids, np.array(seconds), options, seed)
    first = [sampler.plan(epoch) for epoch in range(1, sub_epochs + 1)]
    visited = [index for plan in first for batch in plan for index, _ in batch]
    assert sorted(visited) == list(range(len(seconds)))
    assert first == [sampler.plan(epoch) for epoch in range(1, sub_epochs + 1)]
    for plan in first:
        for batch in plan:
            padded = max(seconds[i] / speed for i, speed in batch) * len(batch)
            assert len(batch) == 1 or (padded <= 60.0 and len(batch) <= 8)


def make_data(tmp_path: Path, **changes: Any) -> CutData:
    write_manifest(tmp_path, "train", corpus(tmp_path))
    options: dict[str, Any] = {"num_workers": 0, "speeds": [0.9, 1.0, 1.1]}
    batches = Batches(10.0, changes.pop("max_utterances", 2))
    extra = {k: changes.pop(k) for k in ("rank", "world_size", "training") if k in changes}
    chosen = DataSettings(["train"], ["dev"], batches, **{**options, **changes})
    return CutData(
        open_set(tmp_path, ["train"]), tokenizer(tmp_path), chosen, 3, **{"training": True, **extra}
    )


def test_starting_in_the_middle_gives_the_rest(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    whole = list(data.batches(2))
    for start in (1, 2, len(whole)):
        rest = list(data.batches(2, start))
        assert [b.ids for b in rest] == [b.ids for b in whole[start:]]
        for one, other in zip(rest, whole[start:], strict=True):
            assert torch.equal(one.signal, other.signal)


def test_worker_processes_change_nothing(tmp_path: Path) -> None:
    alone = list(make_data(tmp_path).batches(1))
    with_workers = list(make_data(tmp_path, num_workers=2).batches(1))
    for one, other in zip(alone, with_workers, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.signal, other.signal)
        assert torch.equal(one.labels, other.labels)


def labels_by_name(data: CutData, epoch: int) -> dict[str, list[int]]:
    return {
        name: labels[: int(size)].tolist()
        for batch in data.batches(epoch)
        for name, labels, size in zip(batch.ids, batch.labels, batch.label_lengths, strict=True)
    }


def test_sampled_labels_depend_on_seed_pass_and_utterance_alone(tmp_path: Path) -> None:
    write_manifest(tmp_path / "data", "train", corpus(tmp_path))
    train_tokenizer("bpe", ["ab ba abba"], 6, tmp_path, "bpe")
    units = SentencePieceTokenizer(tmp_path)
    settings = DataSettings(["train"], ["train"], Batches(3.0), num_workers=0, sub_epochs=2)
    settings = replace(settings, segmentation=BpeDropout(0.5))

    def make(workers: int = 0, seed: int = 1, training: bool = True, **changes: Any) -> CutData:
        changed = replace(settings, num_workers=workers, **changes)
        return CutData(open_set(tmp_path / "data", ["train"]), units, changed, seed, training)

    def full_pass(data: CutData, number: int) -> dict[str, list[int]]:
        return {k: v for part in (1, 2) for k, v in labels_by_name(data, 2 * number + part).items()}

    first, second = (full_pass(make(), number) for number in (0, 1))
    assert len(first) == 6
    assert first != second
    assert {units.decode(labels) for labels in first.values()} == {"ab ba"}
    assert len({tuple(labels) for labels in (first | second).values()}) > 1
    other_batches: dict[str, Any] = {"batches": Batches(0.5, order=LengthOrder())}
    assert full_pass(make(workers=2, **other_batches), 0) == first
    assert full_pass(make(seed=2), 0) != first
    dev = labels_by_name(make(training=False), 1)
    assert set(map(tuple, dev.values())) == {tuple(units.encode("ab ba"))}


def test_processes_share_an_epoch(tmp_path: Path) -> None:
    alone = [b.ids for b in make_data(tmp_path, max_utterances=1).batches(1)]
    halves = [
        [b.ids for b in make_data(tmp_path, max_utterances=1, rank=r, world_size=2).batches(1)]
        for r in range(2)
    ]
    assert halves[0] == alone[0::2]
    assert halves[1] == alone[1::2]
    rest = [make_data(tmp_path, max_utterances=1, rank=r, world_size=5) for r in range(5)]
    assert sum(data.num_batches(1) for data in rest) == len(alone)
    assert list(make_data(tmp_path, rank=98, world_size=99).batches(1)) == []


def test_unreadable_audio_in_training_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_data(tmp_path)
    (tmp_path / "u3.flac").write_bytes(b"fLaC broken")
    with caplog.at_level(logging.WARNING):
        ids = sorted(i for batch in data.batches(1) for i in batch.ids)
    assert ids == ["u0", "u1", "u2", "u4", "u5"]
    assert "left out: utterance u3:" in caplog.text
    with pytest.raises(UserError, match=r"u3.flac can't be read"):
        list(decode_batches(open_set(tmp_path, ["train"]), decode_settings()))


def test_as_many_batches_come_as_are_planned(tmp_path: Path) -> None:
    """Else processes would wait for each other, and a run that goes on would lose its place."""
    data = make_data(tmp_path, max_utterances=1)
    (tmp_path / "u3.flac").write_bytes(b"fLaC broken")
    whole = [batch.ids for batch in data.batches(1)]
    assert len(whole) == data.num_batches(1) == 6
    assert {i for ids in whole for i in ids} == {"u0", "u1", "u2", "u4", "u5"}
    for start in range(1, 6):
        assert [batch.ids for batch in data.batches(1, start)] == whole[start:]
    evaluated = make_data(tmp_path, max_utterances=1, training=False)
    (tmp_path / "u3.flac").write_bytes(b"fLaC broken")
    assert len(list(evaluated.batches(1))) == 5


def test_an_epoch_without_usable_utterances_is_an_error(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    for index in range(6):
        (tmp_path / f"u{index}.flac").unlink()
    with pytest.raises(UserError, match="no utterance of epoch 1 can be used"):
        list(data.batches(1))


def test_settings_that_make_no_sense_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"max_seconds \(0.0\), num_buckets \(0\) must be"):
        Batches(0.0, num_buckets=0)
    with pytest.raises(ValueError, match="train is empty"):
        DataSettings([], ["dev"], Batches(1.0))
    with pytest.raises(ValueError, match=r"min_seconds \(2.0\) must not exceed max_seconds"):
        Limits(2.0, 1.0)


def test_unknown_characters_in_training_are_left_out_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sources = corpus(tmp_path, 3)
    odd = Source("odd", sources[0].path, "xyz", "s")
    write_manifest(tmp_path, "odd", [*sources, odd])
    chosen = DataSettings(["odd"], ["odd"], Batches(10.0), num_workers=1)
    cuts = open_set(tmp_path, ["odd"])
    data = CutData(cuts, tokenizer(tmp_path), chosen, 3, training=True)
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2):
            ids = sorted(i for batch in data.batches(epoch) for i in batch.ids)
            assert ids == ["u0", "u1", "u2"]
    assert caplog.text.count("left out: utterance odd:") == 1


def test_of_several_utterances_with_one_name_the_first_is_kept(tmp_path: Path) -> None:
    write_manifest(tmp_path, "train", corpus(tmp_path, 3))
    cuts = list(open_set(tmp_path, ["train"]))
    repeated = [Unusable("u1", DUPLICATE_NAME, "the same as u1"), Unusable("u2", "too long", "")]
    left = without(CutSet.from_cuts([*cuts, cuts[1]]), repeated)
    assert [cut.id for cut in left] == ["u0", "u1"]


def test_reading_audio_leaves_the_number_of_threads_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(make_data(tmp_path).batches(1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_speed_changes_duration_and_pitch() -> None:
    time = torch.arange(16000) / 16000
    tone = (8000 * torch.sin(2 * torch.pi * 1000 * time)).to(torch.int16)
    for speed in (0.9, 1.1):
        played = at_speed(tone, speed)
        assert len(played) == pytest.approx(16000 / speed, abs=2)
        spectrum = torch.fft.rfft(played.float()).abs()
        peak = float(spectrum.argmax()) * 16000 / len(played)
        assert peak == pytest.approx(1000 * speed, abs=2)


def test_feasibility_names_every_reason(tmp_path: Path) -> None:
    sources = corpus(tmp_path, 3)
    copy = tmp_path / "copy.flac"
    copy.write_bytes(sources[0].path.read_bytes())
    cut_off = write_audio(tmp_path / "cut.flac", 2.0, 9)
    sources += [
        Source("copy", copy, "ab", "s"),
        Source("long", write_audio(tmp_path / "long.flac", 3.0, 7), "ab", "s"),
        Source("odd", write_audio(tmp_path / "odd.flac", 1.0, 8), "abc", "s"),
        Source("crowded", write_audio(tmp_path / "c.flac", 0.1, 5), "ababababab", "s"),
        Source("cut", cut_off, "ab", "s"),
    ]
    write_manifest(tmp_path, "train", sources)
    cut_off.write_bytes(cut_off.read_bytes()[:9000])
    fitness = Fitness(tokenizer(tmp_path), lambda samples: samples // 640, len)
    limits = TrainingLimits(fitness, tokenizer(tmp_path), Limits(max_seconds=2.5))
    report = check_set(open_set(tmp_path, ["train"]), limits, jobs=1)
    found = report.unusable
    assert (report.total, report.heard) == (8, 7)
    assert {u.id: u.reason for u in found} == {
        "copy": "duplicate audio",
        "long": "too long",
        "odd": "unknown characters",
        "crowded": "too few frames",
        "cut": "unreadable audio",
    }
    write_unusable(tmp_path / "left_out.tsv", found)
    left = without(open_set(tmp_path, ["train"]), read_unusable(tmp_path / "left_out.tsv"))
    assert [cut.id for cut in left] == ["u0", "u1", "u2"]


def test_limits_of_training_are_not_those_of_dev_whose_long_utterances_are_alone(
    tmp_path: Path,
) -> None:
    write_manifest(tmp_path, "dev", corpus(tmp_path))  # of 0.3, 0.5 .. 1.3 s
    cuts, units = open_set(tmp_path, ["dev"]), tokenizer(tmp_path)
    limits = Limits(min_seconds=0.4, max_seconds=0.8, max_labels=4)
    settings = DataSettings(["train"], ["dev"], Batches(1.0), limits, num_workers=0)
    dev = CutData(cuts, units, settings, 1, training=False)
    assert [batch.ids for batch in dev.batches(1)] == [["u0", "u1"], ["u2"], ["u3"], ["u4"], ["u5"]]
    with pytest.raises(UserError, match="is left to train on; see the warnings above"):
        CutData(cuts, units, settings, 1, training=True)
    with pytest.raises(UserError, match="no utterance of dev is left"):
        CutData(CutSet.from_cuts([]), units, settings, 1, training=False)


def decode_settings() -> DataSettings:
    return DataSettings(["train"], ["dev"], Batches(10.0), decoding=DecodeBatches(2.0, 9.0))


def test_endless_utterances_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "lecture.flac"
    soundfile.write(path, np.zeros(40 * 60 * 16000, np.int16), 16000, subtype="PCM_16")
    lecture = Source("lecture", path, "ab", "s")
    write_manifest(tmp_path, "test", [*corpus(tmp_path, 2), lecture])
    cuts = open_set(tmp_path, ["test"])
    message = "utterance lecture is 2400.0 s long, data.decoding.max_seconds is 9: cut it"
    with pytest.raises(UserError, match=message):
        next(decode_batches(cuts, decode_settings()))
    with pytest.raises(UserError, match=message):
        CutData(cuts, tokenizer(tmp_path), decode_settings(), 1, training=False)
    trained = CutData(cuts, tokenizer(tmp_path), decode_settings(), 1, training=True)
    assert sorted(i for batch in trained.batches(1) for i in batch.ids) == ["u0", "u1"]


def test_decoding_takes_every_utterance_longest_first(tmp_path: Path) -> None:
    write_manifest(tmp_path, "test", corpus(tmp_path))
    batches = list(decode_batches(open_set(tmp_path, ["test"]), decode_settings()))
    infos = [info for _, part in batches for info in part]
    assert [info.id for info in infos] == ["u5", "u4", "u3", "u2", "u1", "u0"]
    assert infos[0].reference == "ab ba"
    assert infos[0].speaker == "s1"
    for batch, part in batches:
        assert batch.signal_lengths.tolist() == [round(i.seconds * 16000) for i in part]


@pytest.mark.parametrize("training", [True, False])
def test_utterances_with_too_many_labels_are_left_out_of_training_only(
    tmp_path: Path, training: bool
) -> None:
    texts = ("a", "ab", "ab b", "ab ba")
    sources = [replace(s, text=t) for t, s in zip(texts, corpus(tmp_path, 4), strict=True)]
    write_manifest(tmp_path, "train", sources)
    chosen = DataSettings(["train"], ["dev"], Batches(10.0), Limits(max_labels=2), num_workers=0)
    cuts = open_set(tmp_path, ["train"])
    data = CutData(cuts, tokenizer(tmp_path), chosen, 1, training=training)
    ids = sorted(i for batch in data.batches(1) for i in batch.ids)
    assert ids == (["u0", "u1"] if training else ["u0", "u1", "u2", "u3"])


def write_conversation(path: Path, seconds: float = 2.0) -> NDArray[np.int16]:
    random = np.random.default_rng(5)
    samples = random.integers(-3000, 3000, (int(seconds * 8000), 2)).astype(np.int16)
    soundfile.write(path, samples, 8000, format="NIST", subtype="ULAW")
    decoded: NDArray[np.int16] = soundfile.read(path, dtype="int16")[0]
    return decoded


def test_parts_of_one_channel_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sw02001.sph"
    samples = write_conversation(path)
    assert np.abs(samples.astype(int)).max() > 2000
    for channel in (0, 1):
        assert np.array_equal(read_samples(path, 8000, channel=channel), samples[:, channel])
        part = read_samples(path, 8000, start=4000, count=800, channel=channel)
        assert np.array_equal(part, samples[4000:4800, channel])
    with pytest.raises(AudioError, match="has 16000 samples, expected some from 15000 to 17000"):
        read_samples(path, start=15000, count=2000)
    with pytest.raises(AudioError, match="has 16000 samples, expected some from 16000 to 16000"):
        read_samples(path, start=16000)
    with pytest.raises(AudioError, match="has 2 channels, and no channel 3"):
        read_samples(path, channel=2)


def test_manifests_hold_parts_of_channels(tmp_path: Path) -> None:
    path = tmp_path / "sw02001.sph"
    samples = write_conversation(path)
    sources = [
        Source("whole", path, "ab", "a", channel="first"),
        Source("part", path, "ab", "b", 0.5, 0.25, 1),
        Source("rest", path, "ab", "b", 1.5, None, 1),
        Source("rounded", path, "ab", "b", 1.0, 1.2, 1),
        Source("late", path, "ab", "b", 2.1, 0.2, 0),
        Source("long", path, "ab", "b", 1.0, 3.0, 0),
        Source("third", path, "ab", "b", 0.0, 1.0, 2),
        Source("empty", path, "ab", "b", 1.0, 0.0, 0),
    ]
    assert write_manifest(tmp_path, "train", sources) == 4
    reasons = {u.id: (u.reason, u.detail) for u in read_unusable(rejected_path(tmp_path, "train"))}
    assert {reason for reason, _ in reasons.values()} == {"outside the file"}
    assert "has 2 channels, the utterance is on number 3" in reasons["third"][1]
    assert "has 2.000 s, the utterance goes from 1.000 to 4.000 s" in reasons["long"][1]
    expected = {
        "whole": samples[:, 0],
        "part": samples[4000:6000, 1],
        "rest": samples[12000:, 1],
        "rounded": samples[8000:, 1],
    }
    cuts = {cut.id: cut for cut in open_set(tmp_path, ["train"])}
    assert cuts.keys() == expected.keys()
    for name, part in expected.items():
        assert np.array_equal(read_cut(cuts[name], 8000), part)
        assert cuts[name].duration == pytest.approx(len(part) / 8000)


def test_compressed_sphere_is_named_with_its_tool(tmp_path: Path) -> None:
    path = tmp_path / "en_4156.sph"
    header = (
        "NIST_1A\n   1024\nchannel_count -i 2\nsample_coding -s27 ulaw,embedded-shorten-v2.00\n"
    )
    path.write_bytes((header + "end_head\n").encode().ljust(1024) + b"ajkg" + bytes(5000))
    with pytest.raises(UserError, match=r"en_4156.sph can't be read: .*shorten.*`sph2pipe -f sph"):
        write_manifest(tmp_path, "test", [Source("a", path, "ab", "s")])
