"""The numbers of an ablation study: pairs, seeds, and the correction for many rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.reports.ablation.cells import main_table
from asrkit.reports.ablation.forest import draw_forest
from asrkit.reports.ablation.numbers import RowNumbers, Scored, corrected, rate_of, reading
from asrkit.reports.ablation.page import page
from asrkit.reports.ablation.section import section
from asrkit.reports.results import write_results
from asrkit.reports.results_file import read_results
from asrkit.scoring.edits import Errors
from asrkit.scoring.significance import sign_flip

WORDS = 10


def scored(*counts: list[int], seeds: tuple[int, ...] = (1, 2, 3)) -> Scored:
    """Errors of utterances of ten words, a list for each seed."""
    return {
        seed: {f"u{i}": Errors(count, 0, 0, WORDS) for i, count in enumerate(each)}
        for seed, each in zip(seeds, counts, strict=False)
    }


def test_seeds_are_averaged_and_compared_with_the_same_ones() -> None:
    base = scored([1, 2, 3], [1, 1, 1])
    rate = rate_of(scored([2, 2, 2], [4, 4, 4], [0, 0, 0]), base)
    assert rate.by_seed == {1: 20.0, 2: 40.0, 3: 0.0}
    assert rate.wer == 20.0
    assert rate.deviation == 20.0
    assert rate.versus is not None
    assert rate.versus.seeds == 2
    assert rate.versus.difference == pytest.approx(30.0 - 15.0)
    assert rate.versus.noise == sign_flip([6 - 2, 6 - 3, 6 - 4])
    assert rate.versus.interval.low <= rate.versus.difference <= rate.versus.interval.high


def test_rows_of_other_seeds_are_compared_with_the_first_of_the_base() -> None:
    rate = rate_of(scored([2, 2], seeds=(7,)), scored([1, 1], [9, 9]))
    assert rate.versus is not None
    assert (rate.versus.difference, rate.versus.seeds) == (10.0, 1)
    assert rate_of(scored([2, 2])).versus is None


def test_other_utterances_are_no_comparison() -> None:
    with pytest.raises(UserError, match="other utterances"):
        rate_of(scored([1, 2, 3]), scored([1, 2]))
    other = {1: {"u0": Errors(1, 0, 0, 7), "u1": Errors(1, 0, 0, 7)}}
    with pytest.raises(UserError, match="other references"):
        rate_of(scored([1, 2]), other)


def rows() -> list[RowNumbers]:
    """A base, 19 rows that are alike, and one that is worse."""
    draw = np.random.default_rng(0)
    errors = draw.integers(0, 4, 60).tolist()
    base = scored(errors, draw.integers(0, 4, 60).tolist())
    found = [RowNumbers("base", "", [], 10, {1: 0.5}, {("dev", 2): rate_of(base)})]
    for number in range(19):
        noise = scored((np.array(errors) + draw.integers(-1, 2, 60)).clip(0).tolist())
        rates = {("dev", 2): rate_of(noise, base)}
        found.append(RowNumbers(f"row{number}", "A <row>.", ["a: 1 -> 2"], 11, {}, rates))
    worse = scored((np.array(errors) + 2).tolist())
    rates = {("dev", 2): rate_of(worse, base)}
    found.append(RowNumbers("worse", "", ["b: 1 -> 2"], 12, {}, rates, notes=["idle"]))
    return corrected(found)


def test_results_have_the_section_of_a_study(tmp_path: Path) -> None:
    study = tmp_path / "run" / "study"
    study.mkdir(parents=True)
    (study / "forest.png").write_bytes(b"picture")
    text = section("study", rows()[:2], ["dev"], [2], ["asrkit ablate"], Path("forest.png"))
    (study / "ablation.md").write_text(text)
    out = tmp_path / "RESULTS.md"
    assert write_results([study], out) == ""
    assert "](results/study-forest.png)" in out.read_text()
    assert (tmp_path / "results/study-forest.png").read_bytes() == b"picture"
    kept = read_results(out).sections["study"]
    assert kept == text.replace("(forest.png)", "(results/study-forest.png)").rstrip("\n") + "\n"


def test_only_what_survives_the_correction_is_called_real(tmp_path: Path) -> None:
    found = rows()
    versus = [row.rates["dev", 2].versus for row in found[1:]]
    assert all(each is not None and each.corrected >= each.noise for each in versus)
    table = main_table(found, "dev", [2])
    assert [table.rows[number][0] for number in table.strong] == ["worse"]
    told = reading(found, ("dev", 2))
    assert told[0].startswith("Of 20 rows")
    assert "worse (+20.00)" in told[0]
    assert "standard deviation" in told[-1]
    forest = draw_forest(found, ["dev"], 2, tmp_path / "forest.png")
    text = page("A study", found, ["dev"], [2], ["asrkit ablate <x>"], forest)
    assert "A &lt;row&gt;." in text
    assert "asrkit ablate &lt;x&gt;" in text
    assert text.count('<tr class="real">') == 1
    told_in_markdown = section("A study", found, ["dev"], [2], ["asrkit"], Path("forest.png"))
    assert "| **worse** " in told_in_markdown
    assert "- worse: idle" in told_in_markdown
    assert draw_forest(found[:1], ["dev"], 2, tmp_path / "none.png") is None
