"""Decode specs are specs: tables of rows and columns, checked like everything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.config.yaml_loader import Spec, load
from asrkit.errors import UserError
from asrkit.experiment.decode_spec import chosen_search, load_decode_spec, searches_of

TABLE = """
tuning: {lm: [0.0, 1.0], ctc.prior_scale: [0, 0.5]}
table:
  rows:
    ctc: {type: label_sync, beam_size: 12, scorers: {ctc: 1.0}}
    joint: {type: label_sync, beam_size: 8, scorers: {attention: 0.7, ctc: 0.3}}
  columns:
    lm: {title: + LM, changes: {scorers: {lm: {type: language_model, weight: 0.4, run: lm}}}}
    prior:
      changes: {beam_size: 4}
      rows:
        ctc: {scorers: {ctc: {type: ctc, weight: 1.0, prior: p.json, prior_scale: 0.2}}}
        joint: null
decoding:
  greedy: ctc_greedy
"""


def written(folder: Path, text: str = TABLE) -> Path:
    path = folder / "searches.yaml"
    path.write_text(text)
    return path


def check(path: Path) -> str:
    result = CliRunner().invoke(main, ["check", str(path)])
    return result.output if result.exit_code == 0 else f"refused: {result.output}"


def test_a_table_is_rows_times_columns_but_for_what_a_row_says(tmp_path: Path) -> None:
    searches = searches_of(load_decode_spec(written(tmp_path)))
    assert {name: (s.row, s.column) for name, s in searches.items()} == {
        "greedy": ("greedy", "alone"),
        "ctc": ("ctc", "alone"),
        "ctc_lm": ("ctc", "+ LM"),
        "ctc_prior": ("ctc", "prior"),
        "joint": ("joint", "alone"),
        "joint_lm": ("joint", "+ LM"),
    }
    joint, lm = (searches[name].node for name in ("joint", "joint_lm"))
    assert lm["scorers"].pop("lm").items() > {"type": "language_model", "run": "lm"}.items()
    assert lm == joint, "but for the LM"
    assert joint["beam_size"] == 8
    assert joint["ended"] == {"type": "aside"}, "a default"
    assert searches["ctc_prior"].node["beam_size"] == 12, "a row's own changes replace the column's"
    assert searches["ctc"].node["scorers"] == {"ctc": 1.0}, "cells leave their row alone"


def test_check_says_that_nothing_is_wrong(tmp_path: Path) -> None:
    assert "no problems" in check(written(tmp_path))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "beam_size: 8",
            "beam_sise: 8",
            "searches.yaml:6: table.rows.joint.beam_sise: unknown key",
        ),
        (
            "weight: 0.4",
            "weight: x",
            "searches.yaml:8: decoding.ctc_lm.scorers.lm.weight: expected",
        ),
        ("tuning: {lm", "tuning: {lmm", "searches.yaml:2: tuning.lmm: .*did you mean 'lm'"),
        ("ctc.prior_scale:", "ctc.prior_scal:", "did you mean 'ctc.prior_scale'"),
        ("[0.0, 1.0]", "[1.0, 0.0]", r"tuning.lm: expected \[LOW, HIGH\]"),
        ("joint: null", "jont: null", "unknown row; did you mean 'joint'"),
        ("columns:", "colums:", "unknown key of Table; did you mean 'columns'"),
        ("tuning:", "tunning:", "unknown key of DecodeSpec; did you mean 'tuning'"),
        ("greedy: ctc_greedy", "ctc_lm: ctc_greedy", "two searches are named 'ctc_lm'"),
        (
            "greedy: ctc_greedy",
            "f: {type: ctc_greedy, scorers: {lm: {type: ngram, weight: 1.0, arpa: x.arpa}}}",
            "searches.yaml:15: decoding.f: scorer 'lm' of a ctc_greedy search: the n-gram model "
            "x.arpa scores labels, not frames; expected a CTC head",
        ),
    ],
)
def test_mistakes_are_named_with_file_and_line(
    tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    said = " ".join(check(written(tmp_path, TABLE.replace(right, wrong))).split())
    assert said.startswith("refused"), said
    assert re.search(message.replace("searches.yaml", r"searches\.yaml"), said), said


def test_an_empty_file_is_no_spec(tmp_path: Path) -> None:
    assert "missing key 'model'" in check(written(tmp_path, ""))


def test_data_cant_be_checked_without_a_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(written(tmp_path)), "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "leave out --data" in result.output.replace("\n", " ")


def test_a_search_is_chosen_by_name_and_changed(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = chosen_search(Spec({}), "joint_lm", path, ["beam_size=3", "scorers.lm=null"])
    assert found.node["beam_size"] == 3
    assert "lm" not in found.node["scorers"]
    assert load(path).tree["table"]["rows"]["joint"]["beam_size"] == 8
    with pytest.raises(UserError, match="no search 'joint_ml' .*did you mean 'joint_lm'"):
        chosen_search(Spec({}), "joint_ml", path)
    with pytest.raises(UserError, match="1 problem"):
        chosen_search(Spec({}), "ctc", written(tmp_path, TABLE.replace("lm: [0.0", "ml: [0.0")))


def test_plugins_of_a_file_of_searches_are_known(tmp_path: Path) -> None:
    code = "from asrkit.search.ctc_greedy import CtcGreedySearch\n"
    code += "from asrkit.search.search import searches\n"
    code += "searches.register('greediest')(type('Greediest', (CtcGreedySearch,), {}))\n"
    (tmp_path / "greediest_search.py").write_text(code)
    text = "plugins: [greediest_search]\ndecoding: {mine: {type: greediest, scorers: {ctc: 1.0}}}\n"
    path = written(tmp_path, text)
    assert chosen_search(Spec({}), "mine", path).node["type"] == "greediest"
    assert "no problems" in check(path)
    with pytest.raises(UserError, match="searches.yaml:1: plugins: can't import 'none_such'"):
        load_decode_spec(written(tmp_path, text.replace("greediest_search", "none_such")))
