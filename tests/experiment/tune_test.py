"""Tuning keeps what it needs to go on, and hands over what it found."""

from __future__ import annotations

from pathlib import Path

from asrkit.experiment.tune import kept, publish


def test_weights_of_0_would_lose_their_scores() -> None:
    ranges = {"lm": (0.0, 1.0), "ilm": (-0.8, 0.0), "ctc": (0.1, 1.0)}
    weights = {"attention": 1.0, "lm": 0.0, "ilm": 0.0, "ctc": 0.3, "coverage": 0.0}
    assert kept(weights, ranges) == {"attention": 1.0, "lm": 0.001, "ilm": -0.001, "ctc": 0.3}


def test_a_published_decode_has_yet_to_be_judged(tmp_path: Path) -> None:
    decoded, out = tmp_path / "tune" / "opls" / "2", tmp_path / "decode" / "opls" / "dev"
    for folder in (decoded, out):
        folder.mkdir(parents=True)
        for name in ("search.json", "summary.json", "nbest.jsonl", "score.json"):
            (folder / name).write_text(folder.name)
    (out / "search_errors.json").touch()
    publish(decoded, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "search.json": "2",
        "summary.json": "2",
        "nbest.jsonl": "2",
    }
    assert (decoded / "score.json").is_file()
