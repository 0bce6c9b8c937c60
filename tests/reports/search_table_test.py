"""The table of searches says what the run folder says, and refuses what does not fit together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrkit.errors import UserError
from asrkit.reports.search_facts import weights_text
from asrkit.reports.search_table import (
    listed_searches,
    search_section,
    write_search_table,
)
from asrkit.scoring.wer import score_run

OPLS: dict[str, Any] = {
    "type": "label_sync",
    "beam_size": 12,
    "length_norm": 1.0,
    "scorers": {
        "attention": 0.7,
        "ctc": {"type": "ctc", "weight": 0.3, "prior": "x.json", "prior_scale": 0.1},
    },
}
LM = {"type": "language_model", "weight": 0.45, "run": "lm-lstm"}
OPLS_LM = {**OPLS, "scorers": {**OPLS["scorers"], "lm": LM}}
EXPECTED = """
WER on dev (2 words, 1 utterances):

| search | alone | + LM |
| | | |
| opls: attention + ctc, by label | 50.00 (50.00 – 50.00) | **0.00** (0.00 – 0.00) |
| greedy: ctc, by frame | 50.00 (50.00 – 50.00) | – |

WER on test (2 words, 1 utterances):

| search | alone | + LM |
| | | |
| opls: attention + ctc, by label | 100.00 (100.00 – 100.00) | **50.00** (50.00 – 50.00) |
| greedy: ctc, by frame | 50.00 (50.00 – 50.00) | – |

| search | beam | weights | RTF on test | search errors on test |
| | | | | |
| opls | 12 | attention 0.7, ctc 0.3 (prior 0.1), length_norm 1 | 0.0310 | – |
| opls_lm | 12 | attention 0.7, ctc 0.3 (prior 0.1), lm 0.45* (lmlstm), length_norm 1 | 0.0210 | 3.50 % (1 of 7) |
| greedy | – | ctc 1 | 0.0110 | – |

<details><summary>Commands</summary>

```
# opls
asrkit decode 0.031 opls dev
asrkit decode 0.031 opls test

# opls_lm
asrkit tune run first data data set dev search opls_lm spec x.yaml
asrkit decode 0.021 opls_lm dev
asrkit decode 0.021 opls_lm test
asrkit score run first set test search opls_lm stm new.stm
asrkit searcherrors run first data data set test search opls_lm

# greedy
asrkit decode 0.011 greedy dev
asrkit decode run first data data set test search greedy
```

</details>
"""  # noqa: E501
PLACES = {"opls": ("opls", "alone"), "opls_lm": ("opls", "+ LM")}
COMMANDS = """asrkit train x.yaml
asrkit tune --run first --data data --set dev --search opls_lm --spec x.yaml
asrkit decode --run first --data data --set test --search greedy
asrkit score --run first --set test --search opls_lm
asrkit score --run first --set test --search opls_lm --stm new.stm
asrkit search-errors --run first --data data --set test --search opls_lm
"""


FACTS = {"device": "cpu", "threads": 2, "parameters": 7, "git_revision": "abc"}


def decoded(run: Path, search: str, set_name: str, node: Any, text: str, rtf: float) -> Path:
    folder = run / "decode" / search / set_name
    folder.mkdir(parents=True)
    line = {"id": "a1", "speaker": "a", "seconds": 1.0, "reference": "ONE TWO", "text": text}
    (folder / "nbest.jsonl").write_text(json.dumps(line) + "\n")
    score_run(folder / "nbest.jsonl", folder)
    (folder / "summary.json").write_text(json.dumps({"rtf": rtf, "threads": 2}))
    command = f"asrkit decode {rtf} {search} {set_name}"
    note = {"search": node, "checkpoint": "average.pt", "command": command}
    (folder / "search.json").write_text(json.dumps(note))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "first"
    decoded(run, "opls", "dev", OPLS, "ONE", 0.03100)
    decoded(run, "opls", "test", OPLS, "", 0.03100)
    decoded(run, "opls_lm", "dev", OPLS_LM, "ONE TWO", 0.02100)
    folder = decoded(run, "opls_lm", "test", OPLS_LM, "ONE TOO", 0.02100)
    errors = {"rate": 3.5, "search_errors": 1, "sentences": 7}
    (folder / "search_errors.json").write_text(json.dumps(errors))
    decoded(run, "greedy", "dev", "ctc_greedy", "ONE", 0.01100)
    folder = decoded(run, "greedy", "test", "ctc_greedy", "ONE", 0.01100)
    (folder / "search.json").write_text(json.dumps({"search": "ctc_greedy", "checkpoint": "x"}))
    (run / "commands.txt").write_text(COMMANDS)
    (run / "environment.json").write_text(json.dumps(FACTS))
    (run / "tune").mkdir()
    weights = {"attention": 0.7, "ctc": 0.3}
    trials = [
        {"weights": {**weights, "lm": 0.2}, "wer": 9.0},
        {"weights": {**weights, "lm": 0.45}, "wer": 8.0},
    ]
    (run / "tune" / "opls_lm.json").write_text(json.dumps(trials))
    return run


def test_the_tables_hold_weights_numbers_and_commands(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "SEARCHES.md"
    assert listed_searches(run) == []
    tables = write_search_table(run, "dev", ["test"], ["opls", "opls_lm", "greedy"], out, PLACES)
    text = out.read_text()
    assert squeezed(text).endswith(squeezed(EXPECTED))
    assert tables in text
    assert "# Searches of first" in text
    assert "on cpu (threads: 2)" in " ".join(text.split())


def test_a_run_remembers_its_tables(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no table of searches; first `asrkit table`"):
        search_section(run)
    write_search_table(run, "dev", ["test"], ["opls_lm", "opls"], tmp_path / "x.md")
    assert listed_searches(run) == ["opls_lm", "opls"]
    section = search_section(run)
    assert (tmp_path / "x.md").read_text().endswith(section)
    write_search_table(run, "dev", ["test"], ["opls"], tmp_path / "x.md")
    assert "opls_lm" not in search_section(run)
    write_search_table(run, "dev", ["test"], ["opls", "opls_lm"], tmp_path / "x.md", PLACES)
    assert "| search | alone | + LM |" in " ".join(search_section(run).split())


def test_the_name_of_a_search_carries_no_meaning(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.md"
    tables = write_search_table(run, "dev", ["test"], ["opls", "opls_lm"], out)
    assert "+ LM" not in tables
    assert "| opls_lm: attention + ctc + lm, by label |" in tables
    places = {"opls": ("row", "first"), "opls_lm": ("row", "second")}
    tables = write_search_table(run, "dev", ["test"], ["opls", "opls_lm"], out, places)
    assert "| search | first " in tables
    assert "| row " in tables


def squeezed(text: str) -> str:
    return "\n".join(" ".join(line.replace("-", "").split()) for line in text.splitlines())


def test_without_names_all_searches_with_all_sets_are_listed(run: Path, tmp_path: Path) -> None:
    decoded(run, "half", "dev", OPLS, "ONE", 0.1)
    table = write_search_table(run, "dev", ["test"], [], tmp_path / "x.md")
    rows = table.split("weights")[1].splitlines()[2:]
    assert [line.split()[1] for line in rows] == ["greedy", "opls", "opls_lm"]
    with pytest.raises(UserError, match="no search of .* has decoded all of dev, other"):
        write_search_table(run, "dev", ["other"], [], tmp_path / "x.md")


def test_missing_scores_are_named(run: Path, tmp_path: Path) -> None:
    (run / "decode" / "opls" / "test" / "score.json").unlink()
    with pytest.raises(UserError, match=r"score.json is missing; first `asrkit score --run"):
        write_search_table(run, "dev", ["test"], ["opls"], tmp_path / "x.md")


def test_sets_with_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    note = {"search": {**OPLS, "beam_size": 3}, "checkpoint": "average.pt"}
    (run / "decode" / "opls" / "test" / "search.json").write_text(json.dumps(note))
    with pytest.raises(UserError, match="decoded test with other settings than dev"):
        write_search_table(run, "dev", ["test"], ["opls"], tmp_path / "x.md")


def test_a_default_that_one_note_lacks_is_the_same(run: Path, tmp_path: Path) -> None:
    note = {"search": {**OPLS, "ended": "aside"}, "checkpoint": "average.pt"}
    (run / "decode" / "opls" / "test" / "search.json").write_text(json.dumps(note))
    tables = write_search_table(run, "dev", ["test"], ["opls"], tmp_path / "x.md")
    assert "| opls: attention + ctc, by label |" in tables


def test_a_search_of_a_plugin_is_known_while_the_plugin_is(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("dev", "test"):
        path = run / "decode" / "greedy" / name / "search.json"
        path.write_text(json.dumps({"search": {"type": "greedier", "scorers": {"ctc": 0.5}}}))
    (run / "resolved.yaml").write_text("plugins: [greedier_search]\n")
    tables = write_search_table(run, "dev", ["test"], ["greedy"], tmp_path / "x.md")
    (said,) = caplog.messages
    assert "greedy/dev/search.json: search.type: unknown search 'greedier'" in said
    assert "greedy: ctc" not in tables
    code = "from asrkit.search.ctc_greedy import CtcGreedySearch\n"
    code += "from asrkit.search.search import searches\n"
    code += "searches.register('greedier')(type('Greedier', (CtcGreedySearch,), {}))\n"
    other = tmp_path / "other"
    run.rename(other)
    (other / "greedier_search.py").write_text(code)
    tables = write_search_table(other, "dev", ["test"], ["greedy"], tmp_path / "x.md")
    assert "| greedy: ctc, by frame |" in tables
    assert "ctc 0.5" in tables


def test_weights_say_which_are_tuned_and_which_models_they_are_of() -> None:
    assert "lm 0.45 (lm-lstm)," in weights_text(OPLS_LM, {"lm": 0.2})
    assert weights_text({"type": "ctc_greedy"}, {}) == "–"
    for ended, told in ("in_beam", "ended in_beam"), ("aside", "–"):
        assert weights_text({"type": "label_sync", "ended": {"type": ended}}, {}) == told
    second = {"type": "ctc", "weight": 0.6, "run": "run/second"}
    mini = {"type": "internal_lm", "weight": -0.2, "estimation": {"type": "mini_lstm", "run": "m"}}
    node = {"type": "time_sync", "scorers": {"ctc": second, "ilm": mini}}
    assert weights_text(node, {"ctc": 0.6}) == "ctc 0.6* (second), ilm -0.2 (m)"
