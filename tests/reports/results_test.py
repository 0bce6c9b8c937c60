from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.reports.markdown import table as markdown_table
from asrkit.reports.results import INTRODUCTION, write_results
from asrkit.reports.search_table import write_search_table
from asrkit.run_files import NbestLine
from asrkit.scoring.coverage import Coverage
from asrkit.scoring.edits import AlignedSet, Errors, WordAligner
from asrkit.scoring.nist.hub5 import Hub5Scorer
from asrkit.scoring.wer import score_run
from tests.scoring.nist.hub5_test import FOUND, without_hubscr, write

__all__ = ["without_hubscr"]

FIRST = """
| run   | set  | search | WER   | 95 %          | 95 %, speakers | S / D / I | CER   | words | utterances | parameters | epochs | hours | RTF    | device         | revision |
| ----- | ---- | ------ | ----- | ------------- | -------------- | --------- | ----- | ----- | ---------- | ---------- | ------ | ----- | ------ | -------------- | -------- |
| first | test | greedy | 50.00 | 50.00 – 50.00 | –              | 1 / 0 / 0 | 14.29 | 2     | 1          | 2.5 M      | 7      | 1.50  | 0.0123 | cpu, 2 threads | abc      |

## first

```
asrkit train x.yaml
```

Changes against base:

```
seed: 1 -> 2
```

| set  | search | WER   | WER of base | difference | P(noise), utterances | P(noise), speakers |
| ---- | ------ | ----- | ----------- | ---------- | -------------------- | ------------------ |
| test | greedy | 50.00 | 0.00        | +50.00     | 1.000                | –                  |

![learning curves of first](results/first.png)

<details><summary>Last lines of the log</summary>

```
{"epoch": 5, "seconds": 5200}
{"epoch": 6, "seconds": 5300}
{"epoch": 7, "seconds": 5400}
```

</details>
"""  # noqa: E501


def make_run(folder: Path, text: str, spec: str) -> Path:
    decode = folder / "decode" / "greedy" / "test"
    decode.mkdir(parents=True)
    line = {"id": "a1", "speaker": "a", "seconds": 1.0, "reference": "ONE TWO", "text": text}
    (decode / "nbest.jsonl").write_text(json.dumps(line) + "\n")
    score_run(decode / "nbest.jsonl", decode)
    (decode / "summary.json").write_text(json.dumps({"rtf": 0.0123}))
    facts = {"parameters": 2_500_000, "device": "cpu", "threads": 2, "git_revision": "abc"}
    (folder / "environment.json").write_text(json.dumps(facts))
    log = [json.dumps({"epoch": e, "seconds": 4700 + 100 * e}) for e in range(1, 8)]
    (folder / "log.jsonl").write_text("\n".join(log) + "\n")
    (folder / "commands.txt").write_text("asrkit train x.yaml\n")
    (folder / "resolved.yaml").write_text(spec)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    make_run(tmp_path / "run" / "base", "ONE TWO", "seed: 1\nparent: null\n")
    first = make_run(tmp_path / "run" / "first", "ONE TOO", "seed: 2\nparent: base\n")
    (first / "curves.png").write_bytes(b"a picture")
    return first


def test_results_hold_numbers_commands_changes_and_curves(run: Path, tmp_path: Path) -> None:
    table = write_results([run], tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert text == INTRODUCTION + FIRST
    assert table in text
    assert (tmp_path / "results" / "first.png").read_bytes() == b"a picture"


def test_what_people_say_of_a_run_stands_above_its_commands(run: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "first.md").write_text("Better than **chance**.\n")
    write_results([run], tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "\n## first\n\nBetter than **chance**.\n\n```\nasrkit train x.yaml\n```\n" in text
    assert (tmp_path / "results" / "first.md").read_text() == "Better than **chance**.\n"


def test_runs_stand_below_each_other(run: Path, tmp_path: Path) -> None:
    table = write_results([run.parent / "base", run], tmp_path / "RESULTS.md")
    assert [line.split()[1] for line in table.splitlines()[2:]] == ["base", "first"]


def test_a_parent_that_was_not_scored_is_said_so(run: Path, tmp_path: Path) -> None:
    (run.parent / "base" / "decode" / "greedy" / "test" / "utterances.tsv").unlink()
    write_results([run], tmp_path / "RESULTS.md")
    assert "| not scored  |" in (tmp_path / "RESULTS.md").read_text()


def test_runs_are_compared_by_the_errors_that_were_counted(run: Path, tmp_path: Path) -> None:
    class Strict(WordAligner):
        def __call__(self, lines: Sequence[NbestLine]) -> AlignedSet:
            found = super().__call__(lines)
            wrong = [replace(each, errors=Errors(0, 2, 2, 2)) for each in found.utterances]
            return replace(found, utterances=wrong)

    decode = run.parent / "base" / "decode" / "greedy" / "test"
    score_run(decode / "nbest.jsonl", decode, aligner=Strict())
    write_results([run], tmp_path / "RESULTS.md")
    assert "| 50.00 | 200.00      | -150.00" in (tmp_path / "RESULTS.md").read_text()
    nbest = (decode / "nbest.jsonl").read_text()
    (decode / "nbest.jsonl").write_text(nbest.replace('"ONE TWO", "text"', '"ONE TOO", "text"'))
    score_run(decode / "nbest.jsonl", decode)
    with pytest.raises(UserError, match="were scored against other references"):
        write_results([run], tmp_path / "RESULTS.md")
    rows = (decode / "utterances.tsv").read_text()
    (decode / "utterances.tsv").write_text(rows.replace("a1", "a2"))
    with pytest.raises(UserError, match="have other utterances, such as a1: they can't be"):
        write_results([run], tmp_path / "RESULTS.md")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("first/environment.json", "first is not a run folder"),
        ("first/log.jsonl", "first has no finished epoch"),
        ("first/commands.txt", "commands.txt is missing"),
        ("first/decode/greedy/test/score.json", "first has no scores; first `asrkit decode`"),
        ("first/decode/greedy/test/summary.json", "summary.json is missing"),
        ("base/resolved.yaml", "names parent 'base', but .* is not a run folder"),
    ],
)
def test_what_a_run_lacks_is_named(run: Path, tmp_path: Path, missing: str, message: str) -> None:
    (run.parent / missing).unlink()
    with pytest.raises(UserError, match=message):
        write_results([run], tmp_path / "RESULTS.md")
    assert not (tmp_path / "RESULTS.md").exists()


def test_what_a_score_lacks_stands_beside_it(run: Path, tmp_path: Path) -> None:
    decode = run / "decode" / "greedy" / "test"
    score_run(decode / "nbest.jsonl", decode, coverage=Coverage(3, rejected=1, not_decoded=1))
    table = write_results([run], tmp_path / "RESULTS.md")
    assert "| 1 of 3 (1 rejected in preparation, 1 not decoded) |" in table


def test_damaged_scores_are_named(run: Path, tmp_path: Path) -> None:
    (run / "decode" / "greedy" / "test" / "score.json").write_text("{")
    with pytest.raises(UserError, match="score.json:1 is damaged"):
        write_results([run], tmp_path / "RESULTS.md")


def test_tables_are_aligned() -> None:
    assert markdown_table(["a", "bc"], [["123", "4"]]) == (
        "| a   | bc |\n| --- | -- |\n| 123 | 4  |\n"
    )


@pytest.mark.usefixtures("without_hubscr")
def test_telephone_sets_have_rows_for_their_corpora(tmp_path: Path) -> None:
    for name, found in (("base", FOUND), ("first", {**FOUND, "sw_1-B-00000000-00002000": "hello"})):
        spec = "parent: base\n" if name == "first" else "seed: 1\n"
        run = make_run(tmp_path / name, "ONE TWO", spec)
        folder = run / "decode" / "greedy" / "test"
        nbest, stm, glm = write(folder, found)
        score_run(nbest, folder, aligner=Hub5Scorer(stm, glm))
    table = write_results([tmp_path / "first"], tmp_path / "RESULTS.md")
    rows = [[cell.strip() for cell in line.split("|")[2:5]] for line in table.splitlines()[2:]]
    assert rows == [
        ["test", "greedy", "25.00"],
        ["test, CallHome", "greedy", "9.09"],
        ["test, Swbd", "greedy", "44.44"],
    ]
    assert "| test | greedy | 25.00 | 30.00       | -5.00" in (tmp_path / "RESULTS.md").read_text()
    scored = tmp_path / "base/decode/greedy/test"
    rows = [line.split("\t") for line in (scored / "utterances.tsv").read_text().splitlines()]
    older = [[row[0], row[-1], *row[1:-1]] for row in rows]
    (scored / "utterances.tsv").unlink()
    (scored / "segments.tsv").write_text("".join("\t".join(row) + "\n" for row in older))
    write_results([tmp_path / "first"], tmp_path / "older.md")
    assert (tmp_path / "older.md").read_text() == (tmp_path / "RESULTS.md").read_text()
    (scored / "segments.tsv").write_text("segment\n")
    with pytest.raises(UserError, match="has no counts of utterances"):
        write_results([tmp_path / "first"], tmp_path / "RESULTS.md")


def test_speakers_are_units_where_they_are_known(tmp_path: Path) -> None:
    for name, text in (("base", "ONE TOO"), ("first", "ONE TWO")):
        run = make_run(tmp_path / name, text, f"seed: {name}\nparent: base\n")
        folder = run / "decode" / "greedy" / "test"
        line = json.loads((folder / "nbest.jsonl").read_text())
        lines = [{**line, "id": f"{s}{n}", "speaker": s} for s in "abc" for n in range(4)]
        (folder / "nbest.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
        score_run(folder / "nbest.jsonl", folder)
    write_results([tmp_path / "first"], tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| -50.00     | 0.000                | 0.250              |" in text
    assert "| 0.00 – 0.00 | 0.00 – 0.00    |" in text
    for name in ("base", "first"):
        counts = tmp_path / name / "decode" / "greedy" / "test" / "utterances.tsv"
        older = [line.rpartition("\t")[0] + "\n" for line in counts.read_text().splitlines()]
        counts.write_text("".join(older))
    write_results([tmp_path / "first"], tmp_path / "RESULTS.md")
    assert "| 0.000                | –                  |" in (tmp_path / "RESULTS.md").read_text()


def test_searches_that_were_compared_stand_in_the_section_of_the_run(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "RESULTS.md"
    alone = run / "decode" / "opls" / "test"
    shutil.copytree(run / "decode" / "greedy" / "test", alone)
    note = {"search": {"type": "label_sync", "beam_size": 2, "scorers": {"ctc": 1.0}}}
    (alone / "search.json").write_text(json.dumps(note))
    (alone / "summary.json").write_text(json.dumps({"rtf": 0.02, "threads": 2}))
    decode = "asrkit decode --run first --set test --search opls"
    with (run / "commands.txt").open("a") as file:
        file.write(f"{decode}\n")
    write_search_table(run, "test", ["test"], ["opls"], tmp_path / "x.md")
    table = write_results([run], out)
    assert "greedy" in table
    assert "opls" not in table
    text = out.read_text()
    section = text[text.index("### Searches of first") :]
    assert "| opls: ctc, by label | **50.00** (50.00 – 50.00) |" in " ".join(section.split())
    assert text.count(decode) == 1, "beside the tables, not beside the training"
    assert section.index(decode) < section.index("learning curves")
    first = out.read_text()
    write_results([run], out)
    assert out.read_text() == first
    shutil.rmtree(run / "decode" / "greedy")
    assert write_results([run], out) == "", "every search is in the section"
