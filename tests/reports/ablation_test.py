"""The numbers of an ablation study: pairs, seeds, and the correction for many rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.reports.ablation.cells import (
    applied_alike,
    applied_table,
    main_table,
    scores_table,
    searches_gains,
    searches_table,
)
from asrkit.reports.ablation.contents import Decoded, contents
from asrkit.reports.ablation.forest import draw_forest
from asrkit.reports.ablation.numbers import (
    Place,
    RowNumbers,
    Scored,
    corrected,
    rate_of,
    reading,
)
from asrkit.reports.html_page import as_page
from asrkit.reports.parts import as_markdown
from asrkit.reports.results import write_results
from asrkit.reports.results_file import read_results
from asrkit.scoring.edits import Errors
from asrkit.scoring.significance import sign_flip

WORDS = 10
AT = Place("dev", 2, "joint")
DECODED = Decoded(["dev"], [2], ["joint"])


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
    found = [RowNumbers("base", "", [], 10, {1: 0.5}, {}, {AT: rate_of(base)})]
    for number in range(19):
        noise = scored((np.array(errors) + draw.integers(-1, 2, 60)).clip(0).tolist())
        rates = {AT: rate_of(noise, base)}
        found.append(RowNumbers(f"row{number}", "A <row>.", ["a: 1 -> 2"], 11, {}, {}, rates))
    worse = scored((np.array(errors) + 2).tolist())
    rates = {AT: rate_of(worse, base)}
    found.append(RowNumbers("worse", "", ["b: 1 -> 2"], 12, {}, {}, rates, notes=["idle"]))
    return corrected(found)


def test_results_have_the_section_of_a_study(tmp_path: Path) -> None:
    study = tmp_path / "run" / "study"
    study.mkdir(parents=True)
    (study / "forest.png").write_bytes(b"picture")
    forest = study / "forest.png"
    text = as_markdown(contents("study", rows()[:2], DECODED, ["asrkit ablate"], forest))
    (study / "ablation.md").write_text(text)
    out = tmp_path / "RESULTS.md"
    assert write_results([study], out) == ""
    assert "](results/study-forest.png)" in out.read_text()
    assert (tmp_path / "results/study-forest.png").read_bytes() == b"picture"
    kept = read_results(out).sections["study"]
    assert kept == text.replace("(forest.png)", "(results/study-forest.png)").rstrip("\n") + "\n"
    (tmp_path / "results/study.md").write_text("Only noise.\n")
    write_results([study], out)
    assert out.read_text().count("## study\n\nOnly noise.\n\n```\nasrkit ablate\n") == 1


def test_only_what_survives_the_correction_is_called_real(tmp_path: Path) -> None:
    found = rows()
    versus = [row.rates[AT].versus for row in found[1:]]
    assert all(each is not None and each.corrected >= each.noise for each in versus)
    table = main_table(found, AT, [2])
    assert [table.rows[number][0] for number in table.strong] == ["worse"]
    told = reading(found, AT)
    assert told[0].startswith("Of 20 rows")
    assert "worse (+20.00)" in told[0]
    assert "standard deviation" in told[-1]  # 20 points are more than twice that of seeds
    slight = scored(*[[3] * 60], seeds=(1,))
    spread = rate_of(scored([1] * 60, [5] * 60))
    rates = {AT: rate_of(slight, {1: scored([1] * 60)[1], 2: scored([5] * 60)[1]})}
    seeds = [RowNumbers("base", "", [], 10, rates={AT: spread})]
    seeds.append(RowNumbers("slight", "", ["a: 1 -> 2"], 10, rates=rates))
    assert reading(corrected(seeds), AT)[-1].startswith("slight: one seed, and less than twice")
    forest = draw_forest(found, [AT], tmp_path / "forest.png")
    parts = contents("A study", found, DECODED, ["asrkit ablate <x>"], forest)
    text = as_page("A study", parts)
    assert "A &lt;row&gt;." in text
    assert "asrkit ablate &lt;x&gt;" in text
    assert text.count('<tr class="real">') == 1
    told_in_markdown = as_markdown(parts)
    assert "| **worse** " in told_in_markdown
    assert "- worse: idle" in told_in_markdown
    assert draw_forest(found[:1], [AT], tmp_path / "none.png") is None


def test_searches_stand_in_columns_and_all_their_cells_are_corrected_together() -> None:
    few, many = scored([1] * 20), scored([3] * 20)
    places = [Place("dev", 2, name) for name in ("alone", "joint")]
    base = {places[0]: rate_of(many), places[1]: rate_of(few, first=many)}
    row = {places[0]: rate_of(few, many), places[1]: rate_of(few, few, few)}
    found = corrected(
        [RowNumbers("base", "", [], 1, rates=base), RowNumbers("wide", "", [], 1, rates=row)]
    )
    assert searches_table(found, "dev", 2, ["alone", "joint"]).rows == [
        ["base", "30.00 (30.00 – 30.00)", "10.00 (10.00 – 10.00)"],
        ["wide", "10.00* (10.00 – 10.00)", "10.00 (10.00 – 10.00)"],
    ]
    gains = searches_gains(found, "dev", 2, ["alone", "joint"])
    assert gains.header[1] == "joint – alone"
    assert [line[:2] for line in gains.rows] == [["base", "-20.00"], ["wide", "+0.00"]]
    better = found[0].rates[places[1]].versus_first
    assert better is not None
    assert better.corrected == pytest.approx(2 * better.noise)
    text = as_markdown(contents("t", found, Decoded(["dev"], [2], ["alone", "joint"]), [], None))
    assert "#### dev, joint" in text


def test_what_was_applied_is_shown_where_rows_differ() -> None:
    told = [
        RowNumbers("base", "", [], 1, applied={"a.skipped": 0.5, "b.masked": 0.2}),
        RowNumbers("more", "", [], 1, applied={"a.skipped": 0.51, "b.masked": 0.4}),
        RowNumbers("new", "", [], 1),
    ]
    assert applied_alike(told) == ["a.skipped 0.5000"]
    table = applied_table(told)
    assert table.header == ["row", "b.masked"]
    assert [row[1] for row in table.rows] == ["0.2000", "0.4000", "–"]


def test_a_study_that_is_not_decoded_has_the_scores_of_its_trainings() -> None:
    told = [
        RowNumbers("base", "", [], 2_000_000, {1: 0.5, 2: 1.5}, {1: 2.0, 2: 4.0}),
        RowNumbers("wide", "", ["a: 1 -> 2"], 3_000_000),
    ]
    assert scores_table(told).rows == [
        ["base", "2.00 M", "1.00", "2", "3.0000 ± 1.4142"],
        ["wide", "3.00 M", "–", "0", "–"],
    ]
    text = as_markdown(contents("t", told, Decoded([], [2], []), [], None))
    assert "Nothing was decoded" in text
    assert "± 1.4142" in text
