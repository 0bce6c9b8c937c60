"""Tuning keeps what it needs to go on, and hands over what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrkit.config.build import filled
from asrkit.config.registry import import_all
from asrkit.errors import UserError
from asrkit.experiment.decode import _fingerprint, _is_finished
from asrkit.experiment.lattice_lists import has_lattices, share_lattices
from asrkit.experiment.tune import publish
from asrkit.experiment.tuned_values import kept, ranges_of, spread, values_of, with_values
from asrkit.run_folder import DecodedSet
from asrkit.search.search import Search
from asrkit.wfst.lattice_file import read_lattices, write_lattices
from tests.decoding.lattices_test import LATTICE


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


def test_lattices_go_with_the_lists_that_were_made_of_them(tmp_path: Path) -> None:
    old, new = (DecodedSet(tmp_path / name) for name in ("0", "1"))
    for place in (old, new):
        place.folder.mkdir()
        note = {"search": {"type": "graph"}, "fingerprint": place.folder.name}
        place.search.write_text(json.dumps(note))
    share_lattices(old.folder, new.folder)
    assert not new.lattices.exists()
    lines = {"fingerprint": "0"}, {"id": "u4", "lattice": LATTICE.as_json()}
    write_lattices(old.lattices, map(json.dumps, lines))
    share_lattices(old.folder, new.folder)
    assert has_lattices(new.folder)
    ((name, lattice),) = read_lattices(new.lattices)
    assert name == "u4"
    assert lattice is not None
    assert lattice.as_json() == LATTICE.as_json()


def test_a_trial_is_finished_whose_note_lacks_defaults(tmp_path: Path) -> None:
    import_all()
    place, others = DecodedSet(tmp_path), ["weights", "dev"]
    short = {"type": "label_sync", "beam_size": 2, "scorers": {"ctc": 1}}
    note = {"search": short, "fingerprint": _fingerprint(short, others)}
    place.search.write_text(json.dumps(note))
    for path in (place.nbest, place.summary):
        path.touch()
    node = filled(Search, short)
    assert _is_finished(tmp_path, node, others, with_lattices=False)
    assert not _is_finished(tmp_path, {**node, "beam_size": 3}, others, with_lattices=False)
    assert not _is_finished(tmp_path, node, ["other weights", "dev"], with_lattices=False)


NODE: dict[str, Any] = {
    "type": "label_sync",
    "scorers": {"ctc": {"weight": 0.3, "prior": "x.json", "prior_scale": 0.1}, "lm": 0.4},
}


def test_settings_of_scorers_are_values_like_weights(tmp_path: Path) -> None:
    values = values_of(NODE, ["ctc.prior_scale"])
    assert values == {"ctc": 0.3, "lm": 0.4, "ctc.prior_scale": 0.1}
    changed = with_values(NODE, {"ctc.prior_scale": 0.5, "lm": 0.2})
    assert changed["scorers"] == {
        "ctc": {"weight": 0.3, "prior": "x.json", "prior_scale": 0.5},
        "lm": 0.2,
    }
    for name in ("lm.prior_scale", "ctc.blank_penalty", "ctc.prior"):
        with pytest.raises(UserError, match=f"no number {name} to tune"):
            values_of(NODE, [name])
    spec = tmp_path / "table.yaml"
    spec.write_text(
        "tuning: {ctc: [0, 1], lm: [0, 1], ctc.prior_scale: [0, 0.5], lm.prior_scale: [0, 1],"
        " other: [0, 1]}\n"
    )
    assert ranges_of(spec, NODE) == {"lm": (0.0, 1.0), "ctc.prior_scale": (0.0, 0.5)}


def test_settings_are_tried_evenly_over_their_range() -> None:
    tried = sorted(
        spread({"ctc.prior_scale": (0.2, 0.8)}, n)["ctc.prior_scale"] for n in range(1, 8)
    )
    steps = [b - a for a, b in zip([0.2, *tried], [*tried, 0.8], strict=True)]
    assert min(steps) > 0.0
    assert max(steps) < 0.2
