"""Lists that are not what the files beside them say are never scored as if they were."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkit.data.manifests import Source, manifest_path, open_set, write_manifest
from asrkit.data.open_sets import OpenSets
from asrkit.decoding.partial_results import PartialResults, fingerprint_of
from asrkit.errors import UserError
from asrkit.experiment.decode import score, searched_with
from asrkit.experiment.decoded_sets import digest_of, require_whole, set_facts
from asrkit.scoring.coverage import Coverage

NAMES = ["a1", "a2", "b1"]


def prepare(place: Path, texts: dict[str, str]) -> None:
    """Writes a manifest of a set whose utterance c1 has no audio."""
    place.mkdir(exist_ok=True)
    for name in NAMES:
        if not (place / f"{name}.wav").exists():
            soundfile.write(place / f"{name}.wav", np.arange(8000, dtype=np.int16), 16000)
    sources = [Source(n, place / f"{n}.wav", text, n[0]) for n, text in texts.items()]
    write_manifest(place / "data", "test", sources)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that has decoded three of the four utterances that the corpus has."""
    prepare(tmp_path, {**dict.fromkeys(NAMES, "one two"), "c1": "three"})
    folder = tmp_path / "run" / "decode" / "joint" / "test"
    folder.mkdir(parents=True)
    lines = [
        {"id": n, "speaker": n[0], "seconds": 1.0, "reference": "one two", "text": "one"}
        for n in NAMES
    ]
    nbest = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "nbest.jsonl").write_text(nbest)
    data = tmp_path / "data"
    facts = set_facts(data, "test", open_set(data, ["test"]))
    digest = hashlib.sha256(nbest.encode()).hexdigest()
    summary = {"utterances": 3, "set": asdict(facts), "lists": digest, "rtf": 0.1}
    (folder / "summary.json").write_text(json.dumps(summary))
    search = {"type": "label_sync", "scorers": {}, "beam_size": 2}
    note = {"search": search, "checkpoint": "x", "fingerprint": "of beam 2"}
    (folder / "search.json").write_text(json.dumps(note))
    return tmp_path / "run"


def folder_of(run: Path) -> Path:
    return run / "decode" / "joint" / "test"


def test_a_score_says_what_it_is_of(run: Path) -> None:
    found = score(run, "test", "joint")
    assert found.coverage == Coverage(4, rejected=1)
    assert found.utterances == 3
    written = json.loads((folder_of(run) / "score.json").read_text())
    assert written["coverage"] == {
        "utterances": 4,
        "rejected": 1,
        "not_decoded": 0,
        "without_reference": 0,
        "edited": False,
    }
    assert str(found.coverage) == "3 of 4 (1 rejected in preparation)"
    assert str(Coverage(4)) == "4"
    assert str(Coverage(4, 1, 1, edited=True)) == (
        "2 of 4 (1 rejected in preparation, 1 not decoded, lists edited after decoding)"
    )


def test_lists_are_not_scored_while_another_decode_is_unfinished(run: Path) -> None:
    partial = folder_of(run) / "nbest.partial.jsonl"
    PartialResults(partial, "of beam 7").add([{"id": "a1"}], {})
    for judge in (
        lambda: score(run, "test", "joint"),
        lambda: searched_with(folder_of(run), OpenSets()),
    ):
        with pytest.raises(UserError, match="interrupted decode with other settings"):
            judge()
    partial.unlink()
    PartialResults(partial, "of beam 2")
    assert fingerprint_of(partial) == "of beam 2"
    assert score(run, "test", "joint").utterances == 3, "the same lists are being found again"
    partial.write_bytes(b"\0\0")
    with pytest.raises(UserError, match="interrupted decode"):
        score(run, "test", "joint")
    (folder_of(run) / "nbest.jsonl").unlink()
    with pytest.raises(UserError, match="only partly decoded: the same `asrkit decode` continues"):
        score(run, "test", "joint")


def test_lists_that_were_cut_at_the_end_of_a_line_are_refused(run: Path) -> None:
    nbest = folder_of(run) / "nbest.jsonl"
    nbest.write_text("".join(nbest.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match="lists of 2 utterances, but 3 were decoded"):
        score(run, "test", "joint")
    with pytest.raises(UserError, match="lists of 2 utterances, but 3 were decoded"):
        searched_with(folder_of(run), OpenSets())


def test_lists_of_the_other_system_are_looked_at_as_well(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "decode" / "joint" / "test"
    other.mkdir(parents=True)
    for path in folder_of(run).iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert score(run, "test", "joint", against=tmp_path / "other").against is not None
    PartialResults(other / "nbest.partial.jsonl", "of beam 7")
    with pytest.raises(UserError, match="other/decode/joint/test/nbest.partial.jsonl"):
        score(run, "test", "joint", against=tmp_path / "other")


def test_edited_lists_are_called_so(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    nbest = folder_of(run) / "nbest.jsonl"
    nbest.write_text(nbest.read_text().replace('"text": "one"', '"text": "one two"'))
    with caplog.at_level(logging.WARNING):
        found = score(run, "test", "joint")
    assert found.coverage == Coverage(4, 1, edited=True)
    assert "was changed after it was decoded" in caplog.text


@pytest.mark.parametrize(
    ("texts", "change"),
    [
        ({"a1": "one two", "a2": "one too", "b1": "one two"}, "1 other transcripts, such as a2"),
        ({"a1": "one two", "a2": "one two"}, "1 utterances that are gone, such as b1"),
        ({**dict.fromkeys(NAMES, "one two"), "a3": "x"}, "1 new utterances, such as a3"),
    ],
)
def test_a_manifest_that_has_changed_is_named(
    run: Path, tmp_path: Path, texts: dict[str, str], change: str
) -> None:
    if "a3" in texts:
        (tmp_path / "a3.wav").write_bytes((tmp_path / "a1.wav").read_bytes())
    prepare(tmp_path, texts)
    with pytest.raises(UserError, match=f"has changed since .* was decoded .{change}"):
        score(run, "test", "joint")


def test_a_manifest_of_audio_elsewhere_is_the_same(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = manifest_path(tmp_path / "data", "test")
    before = digest_of(open_set(tmp_path / "data", ["test"]))
    path.write_text(path.read_text().replace(str(tmp_path), str(tmp_path / "elsewhere")))
    assert digest_of(open_set(tmp_path / "data", ["test"])) == before
    assert score(run, "test", "joint").utterances == 3


def test_a_manifest_that_is_gone_is_said(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest_path(run.parent / "data", "test").unlink()
    with caplog.at_level(logging.WARNING):
        assert score(run, "test", "joint").utterances == 3
    assert "test.jsonl is missing" in caplog.text


def test_what_an_older_decode_did_not_note_is_unknown(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder_of(run) / "summary.json").write_text(json.dumps({"utterances": 3, "rtf": 0.1}))
    assert require_whole(folder_of(run), OpenSets()) is None
    (folder_of(run) / "summary.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert require_whole(folder_of(run), OpenSets()) is None
    assert "whether its lists are complete is unknown" in caplog.text


def test_utterances_without_a_reference_are_not_scored_and_counted(run: Path) -> None:
    nbest = folder_of(run) / "nbest.jsonl"
    lines = [json.loads(line) for line in nbest.read_text().splitlines()]
    lines[0] = {**lines[0], "reference": "", "transcribed": False}
    nbest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for against in (None, run):
        found = score(run, "test", "joint", against=against)
        assert (found.utterances, found.errors.words, found.errors.insertions) == (2, 4, 0)
        assert found.empty_references == 0
        assert found.coverage == Coverage(4, 1, 0, 1, edited=True)
        assert "1 without a reference" in str(found.coverage)


def test_a_set_without_references_has_no_rate(run: Path) -> None:
    nbest = folder_of(run) / "nbest.jsonl"
    lines = [json.loads(line) for line in nbest.read_text().splitlines()]
    lines[0]["reference"] = ""
    nbest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = score(run, "test", "joint")
    assert (found.empty_references, found.errors.insertions, found.errors.words) == (1, 1, 4)
    nbest.write_text("".join(json.dumps({**line, "reference": ""}) + "\n" for line in lines))
    with pytest.raises(UserError, match="none of the 3 utterances .* has a reference"):
        score(run, "test", "joint")
