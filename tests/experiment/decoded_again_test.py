"""A study decodes a set again where the search that is asked for is another one, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrkit.ablation_folder import AblationFolder
from asrkit.experiment.ablation import plan
from asrkit.experiment.ablation import study as studies
from asrkit.experiment.decode_spec import load_decode_spec
from tests.experiment.ablation_test import SPEC, asrkit, in_this_process
from tests.experiment.ablation_test import place as made

place = made
NOTE = AblationFolder(Path("out")).decoded("base-1", "joint", 1, "dev").search
SETTINGS = "{{type: label_sync, beam_size: {}, scorers: {{ctc: 1}}}}"


@pytest.fixture
def ran(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the rows that were run, in a study that is done."""
    names: list[str] = []
    monkeypatch.setattr(studies, "run_tasks", in_this_process(names))
    run_study()
    assert names == ["base-1"]
    names.clear()
    return names


def run_study(more: str = "") -> str:
    words = "ablate --base base.yaml --data data --out out --epochs 1 --set dev --search joint"
    result = asrkit(f"{words} {more}")
    assert result.exit_code == 0, result.output
    return result.output


def with_file(size: int) -> str:
    """Writes a file of searches; returns the option that names it."""
    Path("searches.yaml").write_text(f"decoding: {{joint: {SETTINGS.format(size)}}}\n")
    return "--spec searches.yaml"


def noted() -> Any:
    return json.loads(NOTE.read_text())["search"]


def test_an_equal_search_of_a_file_is_none_to_decode_again_by(ran: list[str]) -> None:
    before = noted()
    run_study(with_file(2))
    assert ran == []
    run_study(with_file(3))
    assert noted() == {**before, "beam_size": 3}
    run_study(with_file(3))
    assert ran == ["base-1"]


def test_a_change_of_the_base_is_one_of_the_search(ran: list[str]) -> None:
    Path("base.yaml").write_text(SPEC.replace("beam_size: 2", "beam_size: 4"))
    for _ in range(2):
        run_study()
    assert ran == ["base-1"]
    assert noted()["beam_size"] == 4
    run_study(with_file(4))
    assert ran == ["base-1"]


def test_notes_without_defaults_say_the_same(ran: list[str]) -> None:
    note = json.loads(NOTE.read_text())
    short = {"type": "label_sync", "beam_size": 2, "scorers": {"ctc": 1}}
    NOTE.write_text(json.dumps({**note, "search": short}))
    run_study()
    run_study(with_file(2))
    assert ran == []


@pytest.mark.parametrize("search", ['{"type": "label_sync", "beam_sise": 2}', '"label_sink"', "5"])
def test_a_note_that_is_none_is_named(ran: list[str], search: str) -> None:
    NOTE.write_text(f'{{"search": {search}}}')
    words = "ablate --base base.yaml --data data --out out --epochs 1 --set dev --search joint"
    result = asrkit(words)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert said.count("search.json: search") == 1, said
    assert "decode the set again" in said


def test_a_file_of_searches_is_read_once(ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def loaded(path: Path) -> Any:
        read.append(path)
        return load_decode_spec(path)

    monkeypatch.setattr(plan, "load_decode_spec", loaded)
    run_study(f"{with_file(2)} --variants variants/wide.yaml --report")
    assert len(read) == 1
