"""The table of searches says what the run folder says, and refuses what does not fit together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asrkit.errors import UserError
from asrkit.scoring.search_table import weights_text, write_search_table
from asrkit.scoring.wer import score_run

OPLS = {
    "type": "label_sync",
    "beam_size": 12,
    "length_norm": 1.0,
    "scorers": {
        "attention": 0.7,
        "ctc": {"type": "ctc", "weight": 0.3, "prior": "x.json", "prior_scale": 0.1},
        "lm": {"type": "language_model", "weight": 0.45, "run": "lm"},
    },
}
EXPECTED = """
| search | goes by | beam | weights                                                       | WER dev | WER test | 95 %          | RTF    | search errors |
| ------ | ------- | ---- | ------------------------------------------------------------- | ------- | -------- | ------------- | ------ | ------------- |
| opls   | label   | 12   | attention 0.7, ctc 0.3 (prior 0.1), lm 0.45*, length_norm 1   | 0.00    | 50.00    | 50.00 – 50.00 | 0.0210 | 3.50 (1 of 7) |
| greedy | frame   | –    | –                                                             | 50.00   | 50.00    | 50.00 – 50.00 | 0.0110 | –             |

```
# opls
asrkit tune --run first --data data --set dev --search opls --spec x.yaml
asrkit decode 0.021 opls dev
asrkit decode 0.021 opls test
asrkit score --run first --set test --search opls --stm new.stm
asrkit search-errors --run first --data data --set test --search opls

# greedy
asrkit decode 0.011 greedy dev
asrkit decode --run first --data data --set test --search greedy
```
"""  # noqa: E501
COMMANDS = """asrkit train x.yaml
asrkit tune --run first --data data --set dev --search opls --spec x.yaml
asrkit decode --run first --data data --set test --search greedy
asrkit score --run first --set test --search opls
asrkit score --run first --set test --search opls --stm new.stm
asrkit search-errors --run first --data data --set test --search opls
"""


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
    decoded(run, "opls", "dev", OPLS, "ONE TWO", 0.02100)
    folder = decoded(run, "opls", "test", OPLS, "ONE TOO", 0.02100)
    errors = {"rate": 3.5, "search_errors": 1, "sentences": 7}
    (folder / "search_errors.json").write_text(json.dumps(errors))
    decoded(run, "greedy", "dev", "ctc_greedy", "ONE", 0.01100)
    folder = decoded(run, "greedy", "test", "ctc_greedy", "ONE", 0.01100)
    (folder / "search.json").write_text(json.dumps({"search": "ctc_greedy", "checkpoint": "x"}))
    (run / "commands.txt").write_text(COMMANDS)
    (run / "environment.json").write_text(json.dumps({"device": "cpu"}))
    (run / "tune").mkdir()
    weights = {"attention": 0.7, "ctc": 0.3}
    trials = [
        {"weights": {**weights, "lm": 0.2}, "wer": 9.0},
        {"weights": {**weights, "lm": 0.45}, "wer": 8.0},
    ]
    (run / "tune" / "opls.json").write_text(json.dumps(trials))
    return run


def test_the_table_holds_weights_numbers_and_commands(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "SEARCHES.md"
    table = write_search_table(run, "dev", ["test"], ["opls", "greedy"], out)
    text = out.read_text()
    assert squeezed(text).endswith(squeezed(EXPECTED))
    assert table in text
    assert "# Searches of first" in text
    assert "on\ncpu with 2 threads" in text


def squeezed(text: str) -> str:
    return "\n".join(" ".join(line.replace("-", "").split()) for line in text.splitlines())


def test_without_names_all_searches_with_all_sets_are_listed(run: Path, tmp_path: Path) -> None:
    decoded(run, "half", "dev", OPLS, "ONE", 0.1)
    table = write_search_table(run, "dev", ["test"], [], tmp_path / "x.md")
    assert [line.split()[1] for line in table.splitlines()[2:]] == ["greedy", "opls"]
    with pytest.raises(UserError, match="no search of .* has decoded all of dev, other"):
        write_search_table(run, "dev", ["other"], [], tmp_path / "x.md")


def test_missing_scores_are_named(run: Path, tmp_path: Path) -> None:
    (run / "decode" / "opls" / "test" / "score.json").unlink()
    with pytest.raises(UserError, match=r"score.json is missing; first `asrkit score --run"):
        write_search_table(run, "dev", ["test"], ["opls"], tmp_path / "x.md")


def test_sets_with_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    note = {"search": {**OPLS, "beam_size": 3}, "checkpoint": "average.pt"}
    (run / "decode" / "opls" / "test" / "search.json").write_text(json.dumps(note))
    with pytest.raises(UserError, match="decoded test in another way than dev"):
        write_search_table(run, "dev", ["test"], ["opls"], tmp_path / "x.md")


def test_weights_that_are_not_those_of_the_best_decode_have_no_star() -> None:
    assert "lm 0.45," in weights_text(OPLS, {"lm": 0.2})
    assert weights_text({"type": "ctc_greedy"}, {}) == "–"
