"""Kaldi folders, tables and folders of audio as sets: what is taken, what is left out and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.manifests import open_set, read_unusable, rejected_path

CTC = """
text: characters
data: {train: [train], dev: [dev], batches: {max_seconds: 4.0, num_buckets: 2}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 8}
  encoder:
    type: conformer
    dim: 4
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 4}]
    blocks: [{name: ffn, module: {type: feed_forward, hidden_dim: 4}}]
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding: {greedy: ctc_greedy}
"""


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def sound(path: Path, seconds: float = 1.0, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(16000 * seconds), channels)
    samples = np.random.default_rng(len(path.name)).normal(0, 0.1, shape).clip(-1, 1)
    soundfile.write(path, samples, 16000)
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def make(form: str, *words: object) -> Result:
    return asrkit("data", form, "--jobs", 1, *words)


def texts(data: Path, name: str = "train") -> dict[str, str]:
    return {cut.id: cut.supervisions[0].text for cut in open_set(data, [name])}


def reasons(data: Path, name: str = "train") -> dict[str, str]:
    return {entry.id: entry.reason for entry in read_unusable(rejected_path(data, name))}


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_kaldi_folder_becomes_a_set_and_says_what_it_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = tmp_path / "kaldi"
    for name in ("a", "with space", "mute"):
        sound(folder / f"{name}.wav")
    sound(folder / "two.wav", channels=2)
    write(
        folder / "wav.scp",
        "a a.wav",
        f"b\t{folder / 'with space.wav'}",
        "pipe sph2pipe -f wav x.sph |",
        "ark x/raw.ark:1234",
        "gone gone.wav",
        "two two.wav",
        "mute mute.wav",
        "empty a.wav",
        "a a.wav",
        "bare",
    )
    told = (f"{name} A" for name in ("b", "pipe", "ark", "gone", "two", "lost"))
    write(folder / "text", "a  AB  BA ", *told, "empty")
    write(folder / "utt2spk", "a s1", "b s2", "x s3")
    write(folder / "spk2gender", "s1 f")
    done = make("kaldi", folder, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert "train: 2 utterances, 0.00 hours, of 2 speakers; 9 left out" in said(done)
    assert texts(tmp_path / "data") == {"a": "AB BA", "b": "A"}
    cuts = {cut.id: cut for cut in open_set(tmp_path / "data", ["train"])}
    assert cuts["a"].supervisions[0].speaker == "s1"
    assert reasons(tmp_path / "data") == {
        "pipe": "audio by a command",
        "ark": "audio in an archive",
        "gone": "missing audio",
        "two": "several channels",
        "mute": "no transcript",
        "empty": "empty text",
        "a": "duplicate name",
        "bare": "malformed line",
        "lost": "text without audio",
    }
    assert "9 utterances can't be used; all of them: " in caplog.text
    assert "1 x audio by a command, such as pipe: " in caplog.text
    assert "wav.scp:3: `sph2pipe -f wav x.sph |` is a command, and commands are" in caplog.text
    assert "kaldi: not used: spk2gender" in caplog.text
    assert "utt2spk: 1 names are not utterances, such as x" in caplog.text


def test_segments_are_parts_of_recordings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "kaldi"
    sound(folder / "r.wav", 3.0, channels=2)
    write(folder / "wav.scp", "r r.wav", "unheard r.wav")
    write(
        folder / "segments",
        "u1 r 0.5 1.25 1",
        "u2 r 2 -1 0",
        "late r 2.5 9 0",
        "back r 2 1 0",
        "odd r 1",
        "word r one 2",
        "other q 0 1",
    )
    write(
        folder / "text",
        *(f"{name} A" for name in ("u1", "u2", "late", "back", "odd", "word", "other", "r")),
    )
    done = make("kaldi", folder, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output
    cuts = {cut.id: cut for cut in open_set(tmp_path / "data", ["train"])}
    assert {name: (cut.start, cut.duration, cut.channel) for name, cut in cuts.items()} == {
        "u1": (0.5, 0.75, 1),
        "u2": (2.0, 1.0, 0),
    }
    assert reasons(tmp_path / "data") == {
        "late": "outside the file",
        "back": "impossible times",
        "odd": "malformed line",
        "word": "malformed line",
        "other": "missing audio",
        "r": "text without audio",
    }
    assert "1 of 2 recordings have no segment, such as unheard" in caplog.text


def test_what_is_no_kaldi_folder_says_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "k" / "feats.scp", "a x.ark:1")
    done = make("kaldi", tmp_path / "k", "--data", tmp_path / "data")
    assert done.exit_code == 2
    assert "has no wav.scp" in said(done)
    assert "`asrkit data features` takes the features of its feats.scp" in said(done)
    assert "is not a folder" in said(make("kaldi", tmp_path / "z", "--data", tmp_path / "data"))
    sound(tmp_path / "corpus" / "a.wav")
    write(tmp_path / "k" / "wav.scp", "a corpus/a.wav")
    write(tmp_path / "k" / "text", "a A")
    monkeypatch.chdir(tmp_path)
    done = make("kaldi", "k", "--data", "data")
    assert done.exit_code == 2
    assert "from the current folder, corpus/a.wav is there: give --root ." in said(done)
    assert make("kaldi", "k", "--data", "data", "--root", ".").exit_code == 0
    write(tmp_path / "k" / "wav.scp", "a touch made |")
    done = make("kaldi", "k", "--data", "data")
    assert done.exit_code == 2
    assert "no utterance can be used; the first: a: " in said(done)
    assert not (tmp_path / "made").exists()
    assert texts(tmp_path / "data") == {"a": "A"}, "the set of before stays"


@pytest.mark.parametrize(("suffix", "sign"), [("tsv", "\t"), ("csv", ","), ("csv", ";")])
def test_a_table_becomes_a_set_by_the_names_of_its_columns(
    tmp_path: Path, suffix: str, sign: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in ("a", "b"):
        sound(tmp_path / "clips" / f"{name}.flac")
    rows = (
        ("client_id", "path", "Sentence", "age"),
        ("s1", "clips/a.flac", "A B", ""),
        ("s2", "clips/b.flac", "B", "7"),
        ("s2", "clips/c.flac", "B", "7"),
        ("s2", "", "B", "7"),
        ("s2", "clips/a.flac", "B"),
        ("s2", "clips/b.flac", "again", ""),
    )
    table = write(tmp_path / f"t.{suffix}", *(sign.join(row) for row in rows))
    done = make("tsv", table, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert texts(tmp_path / "data") == {"clips/a": "A B", "clips/b": "B"}
    assert reasons(tmp_path / "data") == {
        "clips/c": "missing audio",
        f"{table}:5": "missing audio",
        f"{table}:6": "malformed row",
        "clips/b": "duplicate name",
    }
    assert "audio from 'path', text from 'Sentence', speaker from 'client_id'" in caplog.text
    assert "columns not used: 'age'" in caplog.text


def test_columns_may_be_named_and_hold_times_and_quotes(tmp_path: Path) -> None:
    sound(tmp_path / "talk.wav", 3.0)
    table = write(
        tmp_path / "t.csv",
        "key,where,from,to,what",
        'u1,talk.wav,0,1.5,"A, ""B"""',
        'u2,talk.wav,1.5,,"B\nA"',
        "u3,talk.wav,2,1,A",
        "u4,talk.wav,x,1,A",
        "u5,talk.wav,2,9,A",
    )
    options = ("--audio", "where", "--text", "what", "--start", "from", "--end", "to")
    done = make("tsv", table, "--data", tmp_path / "data", *options)
    assert done.exit_code == 0, done.output
    assert texts(tmp_path / "data") == {"u1": 'A, "B"', "u2": "B A"}
    cuts = {cut.id: cut for cut in open_set(tmp_path / "data", ["train"])}
    assert [(cut.start, cut.duration) for cut in cuts.values()] == [(0.0, 1.5), (1.5, 1.5)]
    assert reasons(tmp_path / "data") == {
        "u3": "impossible times",
        "u4": "impossible times",
        "u5": "outside the file",
    }


def test_tables_say_which_columns_there_are(tmp_path: Path) -> None:
    table = write(tmp_path / "t.tsv", "wav\tsaid", "a.wav\tA")
    for words, message in (
        ((), "no column is named as those of text usually are"),
        (("--text", "sad"), "there is no column 'sad'; did you mean 'said'?"),
    ):
        done = make("tsv", table, "--data", tmp_path / "data", *words)
        assert done.exit_code == 2
        assert message in said(done)
        assert "columns there: 'wav', 'said'" in said(done)
    write(table, "wav\ttext\ttext", "a.wav\tA\tB")
    assert "two columns are named 'text'" in said(make("tsv", table, "--data", tmp_path / "data"))
    open_quote = write(tmp_path / "q.csv", "path,text", 'a.wav,"A', "b.wav,B")
    done = make("tsv", open_quote, "--data", tmp_path / "data")
    assert "q.csv:2: can't be read as a row of cells" in said(done)
    assert "is a quote not closed?" in said(done)
    empty = write(tmp_path / "e.tsv")
    assert "columns there: none" in said(make("tsv", empty, "--data", tmp_path / "data"))
    gone = make("tsv", tmp_path / "none.tsv", "--data", tmp_path / "data")
    assert "there is no text file" in said(gone)


def test_a_folder_of_audio_with_text_beside_becomes_a_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "own"
    for name in ("s1/a.wav", "s1/b.FLAC", "s2/c.ogg", "s2/d.mp3", "s2/mute.wav"):
        sound(folder / name)
        write((folder / name).with_suffix(".txt"), "A", "B ")
    (folder / "s2" / "mute.txt").unlink()
    for name in ("s2/e.m4a", "s1/broken.wav", "s1/.hidden.wav"):
        write(folder / name, "no sound")
        write((folder / name).with_suffix(".txt"), "A")
    write(folder / "README.txt", "about")
    (folder / "s1" / "b.txt").write_bytes(b"\xff\xfe")
    sound(tmp_path / "far" / "f.wav")
    write(tmp_path / "far" / "f.txt", "far")
    (folder / "s3").symlink_to(tmp_path / "far")
    (folder / "s4").symlink_to(folder)  # a circle
    done = make("folder", folder, "--data", tmp_path / "data", "--speakers")
    assert done.exit_code == 0, done.output
    expected = {"s1/a": "A B", "s2/c": "A B", "s2/d": "A B", "s3/f": "far"}
    assert texts(tmp_path / "data") == expected
    assert "of 3 speakers; 5 left out" in said(done)
    assert reasons(tmp_path / "data") == {
        "s1/b": "unreadable text",
        "s1/broken": "unreadable audio",
        "s2/e": "unread format",
        "s2/mute": "no transcript",
        "README": "text without audio",
    }
    told = json.loads(
        make("folder", folder, "--data", tmp_path / "data", "--set", "told", "--json").stdout
    )
    assert (told["utterances"], told["speakers"]) == (4, 0)
    assert told["left_out"]["unreadable audio"] == 1
    rejected = rejected_path(tmp_path / "data", "train")
    assert read_unusable(Path(told["rejected"])) == read_unusable(rejected)
    kept = ("--set", "all", "--keep-untranscribed")
    assert make("folder", folder, "--data", tmp_path / "data", *kept).exit_code == 0
    assert texts(tmp_path / "data", "all")["s2/mute"] is None
    whole = make("folder", folder, "--data", tmp_path / "data", "--whole", "--set", "w")
    assert whole.exit_code == 2
    assert "5 of 9 utterances can't be used" in said(whole)
    nothing = make("folder", tmp_path / "data", "--data", tmp_path / "data")
    assert "has no audio files; looked for wav, flac" in said(nothing)


def test_own_audio_is_trained_on_and_transcribed(tmp_path: Path) -> None:
    for name, count in (("train", 6), ("dev", 2)):
        for index in range(count):
            path = sound(tmp_path / name / f"u{index}.flac", 0.6 + 0.1 * index)
            write(path.with_suffix(".txt"), "ab ba"[: 2 + index % 4])
    write(tmp_path / "spec.yaml", CTC)
    data, run = tmp_path / "data", tmp_path / "run"
    for words in (
        ("data", "folder", tmp_path / "train", "--data", data, "--jobs", 1),
        ("data", "folder", tmp_path / "dev", "--data", data, "--set", "dev", "--jobs", 1),
        ("tokenizer", "characters", "--data", data),
        ("train", tmp_path / "spec.yaml", "--data", data, "--run", run),
    ):
        done = asrkit(*words)
        assert done.exit_code == 0, done.output
    done = asrkit("transcribe", run, tmp_path / "dev" / "u0.flac")
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "dev" / "u0.flac") in done.output
