"""Sweeps: what is tried, which trials go on, and a small one that is trained and resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from asrkit.ablation_folder import AblationFolder
from asrkit.errors import UserError
from asrkit.experiment.ablation import study as studies
from asrkit.experiment.ablation.plan import Planned, Row, Study
from asrkit.experiment.ablation.space import Range, drawn, grid, read_space
from asrkit.experiment.ablation.sweep import Sweep, climb, value_at
from asrkit.experiment.ablation.variants import Variant
from asrkit.reports.ablation.trials import TrialNumbers, best_first, trials_table
from asrkit.reports.results import write_results
from tests.cli.json_test import folder as made
from tests.experiment.ablation_test import asrkit, in_this_process
from tests.experiment.ablation_test import place as project

folder, place = made, project


def space_of(text: str, folder: Path) -> Mapping[str, Range | Sequence[object]]:
    path = folder / "space.yaml"
    path.write_text(text)
    return read_space(path)


def test_a_grid_has_each_value_with_each_other(tmp_path: Path) -> None:
    space = space_of("a.b: [1, 2]\nc: [x, null]", tmp_path)
    assert [dict(point) for point in grid(space)] == [
        {"a.b": 1, "c": "x"},
        {"a.b": 1, "c": None},
        {"a.b": 2, "c": "x"},
        {"a.b": 2, "c": None},
    ]
    with pytest.raises(UserError, match="give --trials"):
        grid(space_of("a: {low: 0, high: 1}", tmp_path))


def test_draws_are_in_range_differ_and_stay_when_more_are_asked_for(tmp_path: Path) -> None:
    text = "rate: {low: 1e-4, high: 1e-2, scale: log}\nlayers: {low: 2, high: 9, whole: true}"
    space = space_of(text, tmp_path)
    found = [dict(point) for point in drawn(space, 200, seed=1)]
    assert found[:20] == [dict(point) for point in drawn(space, 20, seed=1)]
    assert found[:20] != [dict(point) for point in drawn(space, 20, seed=2)]
    rates = [point["rate"] for point in found]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert 60 < sum(rate < 1e-3 for rate in rates) < 140  # each power of ten is as likely
    assert {point["layers"] for point in found} == set(range(2, 10))
    assert len(drawn(space_of("a: [1, 2, 3]", tmp_path), 10, seed=1)) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a mapping of key paths"),
        ("a: 3", "a list of values, or a range"),
        ("a: []", "a list of values, or a range"),
        ("a: {low: 2, high: 1}", "must be above 2"),
        ("a: {low: 0, high: 1, scale: log}", "must be above 0"),
        ("a: {low: 1, high: 2, scale: lin}", "must be linear or log"),
        ("a: {low: 1, high: 2, step: 1}", "step"),
    ],
)
def test_what_is_no_space_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=problem):
        space_of(text, tmp_path)


def trial(name: str, early_stopping: int | None = None) -> Planned:
    training = {"judged_by": None, "early_stopping": early_stopping}
    row = Row(name, 1, (), {})
    return Planned(Variant(name), ["a: 1 -> 2"], {"training": training}, 1, [row])


def test_the_best_go_on_and_a_sweep_that_is_run_again_decides_the_same(tmp_path: Path) -> None:
    study = Study(Path("x"), [], Path("d"), AblationFolder(tmp_path), [9], [], [])
    asked = Sweep(study, [], [1, 3, 9], reduction=2)
    scores = {"base": 5.0, "a": 4.0, "b": 1.0, "c": float("nan"), "d": 2.0, "e": 3.0, "f": 0.0}
    plan = [trial(name) for name in scores]
    asked_for: list[tuple[int | None, str]] = []

    def run(trials: Sequence[Planned], until: int | None) -> Mapping[str, str]:
        """Writes logs as trainings would do; f fails, and b is worse later."""
        asked_for.append((until, "".join(each.variant.name for each in trials)))
        for each in trials:
            log = study.folder.run(each.rows[0].name).log
            log.parent.mkdir(exist_ok=True)
            epochs = range(1, (until or 9) + 1) if each.variant.name != "f" else []
            found = [
                {"epoch": e, "step": e, "lr": 1.0, "seconds": 1.0, "train": {}, "dev": {}}
                | {"objective": scores[each.variant.name] + 9.0 * (e > 1 and each is plan[2])}
                for e in epochs
            ]
            log.write_text("".join(json.dumps(entry) + "\n" for entry in found))
        return {"f-1": "no luck"} if until == 1 else {}

    left, problems = climb(asked, plan, run)
    expected = [(1, "baseabcdef"), (3, "basebde"), (None, "based")]
    assert asked_for == expected
    assert [each.variant.name for each in left] == ["d"]
    assert problems == {"f-1": "no luck"}
    asked_for.clear()
    assert climb(asked, plan, run)[0] == left
    assert asked_for == expected


def test_trials_are_listed_best_first() -> None:
    trials = [
        TrialNumbers("a", {"k": 0.25}, {1: 3.0}),
        TrialNumbers("b", {"k": None}, {1: 2.0, 2: 1.5}),
        TrialNumbers("c", {"k": [1]}, {1: float("nan")}),
        TrialNumbers("d", {"k": "x"}, {}, "it failed"),
        TrialNumbers("e", {"k": True}, {1: 2.5, 2: 1.0}),
    ]
    table = trials_table(best_first(trials), ["k"], [1, 2])
    assert [row[0] for row in table.rows] == ["e", "b", "a", "c", "d"]
    assert table.rows[0] == ["e", "true", "2", "2.5000", "1.0000"]
    assert table.strong == [0]
    assert value_at({"a": [{"b": 3}]}, "a[0].b") == 3
    assert value_at({"a": 1}, "a.b") is None


def test_a_sweep_is_trained_resumed_and_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(studies, "run_tasks", in_this_process(ran))
    Path("space.yaml").write_text("training.schedule.value: [1e-3, 1e-2, 1e-9]\n")
    words = "sweep --json --base base.yaml --space space.yaml --data data --out out --set dev"
    words += " --search best --epochs 1,2 --reduction 2"
    done = asrkit(words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    scores = {each["name"]: each["scores"] for each in found["trials"]}
    best, worse = sorted(scores.keys() - {"base"}, key=lambda name: scores[name]["1"])
    assert ran == ["base-1", "trial-002-1", "trial-003-1", "base-1", f"{best}-1"]
    assert found["best"] == best
    assert list(scores)[2] == worse
    assert list(scores[worse]) == ["1"]  # it ended early
    assert [row["name"] for row in found["numbers"]] == ["base", best]
    assert Path("out/trials/trial-002.yaml").read_text() == "training.schedule.value: 0.01\n"
    assert Path("out/trials.png").read_bytes().startswith(b"\x89PNG")
    text = Path("out/sweep.md").read_text()
    assert f"{best}:\n  training.schedule.value: 0.001 -> " in text
    assert "data:image/png;base64," in Path("out/sweep.html").read_text()
    write_results([Path("out")], place / "RESULTS.md")
    assert Path("results/out-trials.png").is_file()
    # What was lost is made again, and nothing else; what is reported is the same.
    shutil.rmtree(f"out/{worse}-1")
    ran.clear()
    assert asrkit(words).exit_code == 0
    assert ran == [f"{worse}-1"]
    assert tables(Path("out/sweep.md").read_text()) == tables(text)
    assert json.loads(asrkit(words + " --report").stdout)["best"] == best
    Path("weights.yaml").write_text("model.heads.ctc.weight: [1.0, 2.0]\n")
    commands = Path("out/commands.txt").read_text()
    refused = asrkit(words.replace("space.yaml", "weights.yaml"))
    assert "can't be compared by the sum of their losses" in refused.stderr
    Path("same.yaml").write_text("model.encoder.dim: [8]\n")
    refused = asrkit(words.replace("space.yaml", "same.yaml"))
    assert "no point of the space differs from base.yaml" in refused.stderr
    # Another sweep in the same folder leaves the files of one that runs as they are.
    Path("others.yaml").write_text("training.schedule.value: [1e-4, 1e-5, 1e-6]\n")
    monkeypatch.setattr(studies, "owned", in_use)
    refused = asrkit(words.replace("space.yaml", "others.yaml"))
    assert "asrkit: out is in use" in refused.stderr
    assert Path("out/trials/trial-002.yaml").read_text() == "training.schedule.value: 0.01\n"
    assert Path("out/commands.txt").read_text() == commands


@contextmanager
def in_use(folder: Path, work: str) -> Iterator[None]:
    raise UserError(f"{folder} is in use")
    yield


def tables(text: str) -> list[list[str]]:
    """Returns the cells of a report's tables, but for the hours."""
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell for cell in row if not cell.strip().startswith("0.0")] for row in rows]
