"""Ablation studies: variants are put on a base, rows are run, resumed or skipped, and compared."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asrkit.ablation_folder import AblationFolder
from asrkit.cli import main
from asrkit.errors import UserError
from asrkit.experiment.ablation import plan
from asrkit.experiment.ablation import study as studies
from asrkit.experiment.ablation.applied import notes_on
from asrkit.experiment.ablation.plan import Study, planned
from asrkit.experiment.ablation.report import _rates
from asrkit.experiment.ablation.variants import read_variant, read_variants
from asrkit.queues.processes import Ended, Task
from asrkit.reports.ablation.numbers import Place
from asrkit.scoring.edits import Errors
from tests.cli.json_test import make_data

SPEC = """
text: words
data: {train: [train], dev: [dev], batches: {max_seconds: 4.0, num_buckets: 2}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12, normalization: none}
  augment:
    masks:
      type: spec_augment
      time: {min_count: 1, max_count: 2, max_width: 5}
      frequency: {min_count: 0, max_count: 0, max_width: 1}
  encoder:
    type: conformer
    dim: 8
    num_layers: 2
    frontend: {conv: {type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}}
    blocks: {ffn: {module: {type: feed_forward, hidden_dim: 8}}}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 9, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding:
  best: {type: ctc_greedy}
  joint: {type: label_sync, beam_size: 2, scorers: {ctc: 1.0}}
"""
GATE = "model.encoder.blocks.ffn.module.gate"
VARIANTS = {
    "idle": GATE + ": {type: without_effect, gate: {type: squeeze_excitation, bottleneck_dim: 2}}",
    "late": "# Later.\nmodel.augment.masks.strengths: [{from_step: 1000}]",
    "lost": "data.train: [nowhere]",
    "wide": "# Wider.\nmodel.encoder.blocks.ffn.module.hidden_dim: 16",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a base and its variants."""
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path)
    assert asrkit("tokenizer words --data data").exit_code == 0
    Path("base.yaml").write_text(SPEC)
    for name, text in VARIANTS.items():
        variant(name, text)
    return tmp_path


def variant(name: str, text: str) -> Path:
    path = Path("variants", f"{name}.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")
    return path


def study(names: Sequence[str], **settings: Any) -> Study:
    chosen = read_variants([Path("variants", f"{name}.yaml") for name in names])
    found: dict[str, Any] = {"epochs": [1, 2], "sets": ["dev"], "searches": ["joint"], **settings}
    return Study(Path("base.yaml"), chosen, Path("data"), AblationFolder(Path("out")), **found)


def asrkit(words: str) -> Result:
    return CliRunner().invoke(main, shlex.split(words))


def test_variants_are_changes_in_one_line_each(place: Path) -> None:
    found = read_variant(variant("two", "# First,\n# second.\na.b: {c: [1e-8, x]}\nd: null"))
    assert found.name == "two"
    assert found.remark == "First, second."
    assert found.changes == ('a.b={"c": [1e-08, "x"]}', "d=null")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("none", "", "a variant is a mapping"),
        ("list", "[1]", "a variant is a mapping"),
        ("based", "extends: base.yaml", "names no base"),
        ("base", "seed: 2", "rename the file"),
    ],
)
def test_what_is_no_variant_is_refused(place: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_variant(variant(name, text))


def test_rows_have_seeds_and_what_they_really_change(place: Path) -> None:
    variant("seven", "seed: 7")
    found = planned(study(["wide", "seven"], seeds={"": 2, "base": 3}))
    assert [[row.name for row in each.rows] for each in found] == [
        ["base-1", "base-2", "base-3"],
        ["wide-1", "wide-2"],
        ["seven-7"],
    ]
    assert found[1].changes == ["model.encoder.blocks.ffn.module.hidden_dim: 8 -> 16"]
    assert found[1].parameters > found[0].parameters
    assert found[1].tree["training"]["checkpoints"]["keep_epochs"] == [1, 2]
    assert found[0].tree["training"]["epochs"] == 2


def test_the_last_epoch_of_a_base_is_read_with_all_names(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(plan, "import_all", lambda: called.append("names"))
    monkeypatch.setattr(plan, "import_plugins", lambda *_: called.append("plugins"))
    assert plan.last_epoch(Path("base.yaml"), ["training.epochs=7"]) == 7
    assert called == ["names", "plugins"]


def test_variants_that_change_nothing_or_do_not_fit_are_all_named_before_any_work(
    place: Path,
) -> None:
    variant("same", "model.encoder.dim: 8")
    variant("odd", "model.encoder.blocks.ffn.module.hidden: 8")
    with pytest.raises(UserError) as caught:
        planned(study(["odd", "same", "wide"]))
    text = str(caught.value)
    assert "2 variant(s)" in text
    assert "same: nothing of the base is changed by model.encoder.dim=8" in text
    assert "odd: " in text
    assert "did you mean 'hidden_dim'" in text
    with pytest.raises(UserError, match="there is no variant 'wid'"):
        study(["wide"], seeds={"wid": 2})


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"searches": ["jiont"]}, "there is no search 'jiont' below decoding; did you mean"),
        ({"sets": ["dev", "tset"]}, "there is no set 'tset' in data"),
        ({"overrides": ["training.epochs=5"]}, "training.epochs=5: the epochs of all rows are"),
        ({"seeds": {"seven": 2}}, "seven: --seeds seven=2: it sets the seed itself, to 7"),
    ],
)
def test_what_would_fail_after_training_is_refused_before(
    place: Path, settings: dict[str, Any], problem: str
) -> None:
    variant("seven", "seed: 7")
    with pytest.raises(UserError) as caught:
        planned(study(["seven"], **settings))
    assert problem in str(caught.value)
    assert not Path("out").exists()


def test_a_variant_without_the_search_is_refused_and_equal_epochs_are_not(place: Path) -> None:
    variant("mute", "decoding.joint: null")
    with pytest.raises(UserError, match="mute: there is no search 'joint'"):
        planned(study(["mute"]))
    planned(study([], overrides=["training.epochs=2", "training.checkpoints.keep_epochs=[1,2]"]))


def test_variants_and_seeds_that_are_given_twice_are_refused(place: Path) -> None:
    paths = [Path("variants"), Path("variants", "wide.yaml")]
    with pytest.raises(UserError, match=r"variants/wide.yaml is given twice"):
        read_variants(paths)
    with pytest.raises(UserError, match="there is no variant nowhere: expected a file"):
        read_variants([Path("nowhere")])
    Path("more").mkdir()
    shutil.copy(paths[1], "more")
    with pytest.raises(UserError, match=r"variants/wide.yaml and more/wide.yaml: rename one"):
        read_variants([paths[1], Path("more")])
    done = asrkit("ablate --base base.yaml --data data --out o --seeds base=2 --seeds base=3")
    assert "seeds of base are given twice" in done.stderr


def test_a_row_that_was_scored_on_other_data_is_told_and_stops_no_other() -> None:
    at = Place("dev", 2, "joint")
    ours, base = ({1: {name: Errors(1, 0, 0, 10)}} for name in ("new", "old"))
    rates, unlike = _rates({at: ours}, {at: base})
    assert rates == {}
    assert unlike[0].startswith(
        "dev, epoch 2, joint: rows and base were scored on other utterances"
    )
    assert list(_rates({at: ours}, {at: ours})[0]) == [at]


def in_this_process(
    counted: list[str],
) -> Callable[[Sequence[Task], int, Callable[[Ended], None]], list[Ended]]:
    """Returns what runs rows without a process for each, and counts them."""

    def run(tasks: Sequence[Task], jobs: int, told: Callable[[Ended], None]) -> list[Ended]:
        ended = []
        for task in tasks:
            counted.append(task.name)
            words = list(task.command)[list(task.command).index("ablate") :]
            done = CliRunner().invoke(main, words)
            problem = done.stderr.strip().split("\n")[-1] if done.exit_code else None
            ended.append(Ended(task.name, problem))
            told(ended[-1])
        return ended

    return run


def numbers_of(page: str) -> list[str]:
    return re.findall(r"^\| .*$", page, flags=re.M)


def test_a_study_is_run_resumed_and_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(studies, "run_tasks", in_this_process(ran))
    words = "ablate --json --base base.yaml --variants variants --data data --out out --set dev "
    words += "--search joint --epochs 1,2 --seeds base=2 --seeds wide=2"
    done = asrkit(words)
    assert done.exit_code == 2, done.output
    assert "1 of 7 rows are not done" in done.stderr
    found = json.loads(done.stdout)
    states = {state["row"]: state for state in found["rows"]}
    assert [name for name, state in states.items() if not state["done"]] == ["lost-1"]
    assert "there is no set 'nowhere'" in states["lost-1"]["problem"]
    rows = {row["name"]: row for row in found["numbers"]}
    assert len(rows["wide"]["rates"]) == 2
    assert len(rows["base"]["hours"]) == 2
    assert 0 < rows["base"]["applied"]["augment.masks.masked_frames"] < 1
    notes = {name: row["notes"] for name, row in rows.items() if row["notes"]}
    assert "model.augment.masks did nothing" in notes["late"][0]
    assert f"{GATE} did nothing" in notes["idle"][0]
    assert notes.keys() == {"late", "idle"}
    check_page(Path("out/ablation.html").read_text(encoding="utf-8"))
    assert Path("out/forest.png").read_bytes().startswith(b"\x89PNG")
    # What was lost since is made again, and nothing else; the numbers are the same.
    first = numbers_of(Path("out/ablation.md").read_text())
    Path("variants/lost.yaml").unlink()
    shutil.rmtree("out/wide-2")
    Path("out/wide-1/decode/joint-epoch2/dev/score.json").unlink()
    ran.clear()
    again = asrkit(words.replace(" --json", ""))
    assert again.exit_code == 0, again.output
    assert ran == ["wide-1", "wide-2"]
    kept = [line for line in first if not line.startswith("| lost")]
    shown = numbers_of(Path("out/ablation.md").read_text())
    assert [line.split("|")[5:11] for line in shown] == [line.split("|")[5:11] for line in kept]
    # Another base in the same folder is refused, row by row, and nothing is overwritten.
    other = asrkit(words + " model.encoder.num_layers=1")
    assert "was trained with another spec: model.encoder.num_layers: 2 -> 1" in other.stderr


def check_page(text: str) -> None:
    """The page needs no other file."""
    assert "data:image/png;base64," in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "http" not in text
    assert text.count("<tr") > 10


def test_an_equal_training_shows_that_a_change_was_not_applied() -> None:
    log = [{"train": {"loss": 1.0}, "dev": {"loss": 2.0}, "applied": {"a.0.skipped": 0.5}}]
    other = [{"train": {"loss": 1.5}, "dev": {"loss": 2.0}, "applied": {"a.0.skipped": 0.5}}]
    assert "never applied" in notes_on(["model.x: 1 -> 2"], {1: log}, {1: log})[0]
    assert notes_on(["model.x: 1 -> 2"], {1: log}, {1: other}) == []
    assert notes_on(["decoding.x: 1 -> 2"], {1: log}, {1: log}) == []


def test_a_variant_is_checked_on_a_base(place: Path) -> None:
    assert asrkit("check variants/wide.yaml --base base.yaml").exit_code == 0
    done = asrkit("check variants/wide.yaml --base base.yaml model.encoder.num_layers=0")
    assert done.exit_code == 2
    path = variant("same", "model.encoder.dim: 8")
    done = asrkit(f"check {path} --base base.yaml")
    assert done.exit_code == 2
    assert "it changes nothing" in done.stderr


def test_all_variants_of_a_folder_are_checked_and_sized(place: Path) -> None:
    done = asrkit("check variants --base base.yaml")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "variants: no problems"
    assert [line.partition(":")[0] for line in lines[1:]] == sorted(VARIANTS)
    assert lines[-1] == "wide: 0.00 M parameters, one value changed"
    variant("odd", "model.encoder.blocks.ffn.module.hidden: 8")
    variant("same", "model.encoder.dim: 8")
    done = asrkit("check variants --base base.yaml")
    assert done.exit_code == 2
    assert "2 problem(s) in variants" in done.stderr
    assert "same: it changes nothing" in done.stderr
    assert "odd: " in done.stderr
    assert "no problems" not in done.stderr
    assert "--data with a folder" in asrkit("check variants --base base.yaml --data data").stderr
    wrong = asrkit("check variants --base base.yaml model.encoder.num_layers=0")
    assert "1 problem(s) in variants" in wrong.stderr  # that of the base, not of each


def test_a_row_that_is_not_in_the_study_is_refused(place: Path) -> None:
    words = "--base base.yaml --data data --out out --set dev --search joint --row wide-1"
    done = asrkit(f"ablate {words}")
    assert done.exit_code == 2
    assert "its rows are base-1" in done.stderr
