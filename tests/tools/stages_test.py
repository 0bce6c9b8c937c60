"""Stages run once, again when an input has another content, and again after they failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asrkit.cli import main

ROOT = Path(__file__).parents[2]
RECIPES = sorted(ROOT.glob("recipes/*/run.sh"))
RECIPE = """
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$0")"
source {stages}
corpus=corpus data=data run='run/<spec>' conf=conf/small.yaml
parse_options "$@"
stage 1 "copy" input "$conf" -- bash copy.sh "$corpus"
stage 5 "count" "$data/made" -- bash count.sh "$run" "${{overrides[@]}}"
"""

SMALL = """# several lines
"extends":
  - base.yaml
  - 'also.yaml'  # and
  - "up & down.yaml"
"""


class Folder:
    """A recipe of two stages: one copies `input` to data/made, the other counts its calls."""

    def __init__(self, root: Path) -> None:
        self.root, self.recipe = root, root / "recipe"
        (self.recipe / "conf").mkdir(parents=True)
        (root / "bin").mkdir()
        (root / "bin" / "asrkit").touch(mode=0o755)
        self.write("conf/small.yaml", SMALL)
        self.write("conf/up & down.yaml", "seed: 3\n")
        self.write("conf/also.yaml", "seed: 2\n")
        self.write("conf/base.yaml", "seed: 1\n")
        self.write("input", "one")
        self.write("copy.sh", 'mkdir -p data; cp input data/made; echo "copied from $1"\n')
        self.write("count.sh", 'mkdir -p "$1"; echo "$@" >> calls\n')
        self.write("run.sh", RECIPE.format(stages=ROOT / "tools" / "stages.sh"))

    def write(self, name: str, text: str) -> None:
        (self.recipe / name).write_text(text)

    def run(self, *options: str, code: int = 0) -> str:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "recipe/run.sh", *options],
            cwd=self.root,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def change(self, name: str) -> None:
        """Changes a file and makes it older than any mark: what counts is what is in it."""
        path = self.recipe / name
        path.write_text(path.read_text() + "\n# changed\n")
        os.utime(path, (0, 0))

    def calls(self) -> list[str]:
        path = self.recipe / "calls"
        return path.read_text().splitlines() if path.is_file() else []


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_stage_that_is_up_to_date_is_skipped_with_a_message(folder: Folder) -> None:
    first = folder.run()
    assert "== stage 1: copy\n   bash copy.sh corpus" in first
    second = folder.run()
    assert "== stage 1: copy: up to date" in second
    assert "== stage 5: count: up to date" in second
    assert folder.calls() == ["run/small"]


SPECS = ["conf/small.yaml", "conf/base.yaml", "conf/also.yaml", "conf/up & down.yaml"]


@pytest.mark.parametrize("name", ["input", *SPECS])
def test_a_changed_input_runs_a_stage_again(folder: Folder, name: str) -> None:
    folder.run()
    folder.change(name)
    again = folder.run()
    assert "copied" in again
    assert "again, as these have changed: " in again
    assert repr(name) in again
    assert ("stage 5: count: up to date" in again) is (name != "input"), "its input was made anew"


def test_another_clock_runs_nothing_again(folder: Folder) -> None:
    folder.run()
    for time in (0, 2**33):
        for path in (folder.recipe / "input", *folder.recipe.glob("*/*")):
            os.utime(path, (time, time))
        assert folder.run().count("up to date") == 2


def test_files_of_a_folder_count_but_not_results_in_it(folder: Folder) -> None:
    script = RECIPE.format(stages=ROOT / "tools" / "stages.sh").replace("input", "conf")
    folder.write("run.sh", script + "touch conf/data/made conf/.hidden\n")
    words = ("--data", "recipe/conf/data", "--run", "recipe/conf/runs/x")
    folder.run(*words)
    assert "copy: up to date" in folder.run(*words)
    for text in ("new", "old"):
        folder.write("conf/deep", text)
        assert "as these have changed: 'conf'" in folder.run(*words)
    (folder.recipe / "conf" / "deep").unlink()
    assert "copied" in folder.run(*words)


def test_a_mark_without_digests_runs_a_stage_again_and_says_why(folder: Folder) -> None:
    folder.run()
    for path in folder.recipe.glob("*/.done/*"):
        path.write_text("")
    again = folder.run()
    assert "again, as its mark is of a version that did not record" in again
    assert "copied" in again
    assert folder.run().count("up to date") == 2


def test_the_number_of_processes_is_no_other_stage(folder: Folder) -> None:
    script = RECIPE.format(stages=ROOT / "tools" / "stages.sh")
    script = script.replace('bash copy.sh "$corpus"', 'bash copy.sh "$corpus" --jobs "$jobs"')
    folder.write(
        "run.sh", script.replace("bash count.sh", '"${trainer[@]/asrkit/env}" bash count.sh')
    )
    torchrun = folder.root / "bin" / "torchrun"
    torchrun.write_text('#!/bin/bash\nwhile [[ $1 != -- ]]; do shift; done; shift; exec "$@"\n')
    torchrun.chmod(0o755)
    said = folder.run("--jobs", "3", "--gpus", "4")
    assert "   torchrun --standalone --nproc-per-node 4 -m -- env bash count.sh run/small" in said
    assert folder.run("--jobs", "5").count("up to date") == 2
    assert folder.run("--gpus=2").count("up to date") == 2
    assert "--gpus must be at least 1" in folder.run("--gpus", "0", code=2)


def test_specs_that_extend_each_other_are_one_message(folder: Folder) -> None:
    folder.write("conf/base.yaml", "extends: small.yaml\n")
    said = folder.run(code=2)
    assert "conf/small.yaml: extends itself" in said
    assert "Traceback" not in said
    folder.write("conf/base.yaml", "extends: none.yaml\n")
    assert "there is no file conf/none.yaml" in folder.run(code=2)
    assert not folder.calls()


def test_odd_names_of_folders_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "it's & a <spec> -x; $y"
    root.mkdir()
    folder = Folder(root)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "recipe").mkdir(parents=True)  # cd would go there
    monkeypatch.setenv("CDPATH", str(elsewhere))
    folder.write("conf/a&b c.yaml", "extends: 'up & down.yaml'\n")
    said = folder.run("--conf", "conf/a&b c.yaml", "--corpus", "some & corpus", "--run=-run")
    assert "copied from ../some & corpus" in said
    assert folder.calls() == ["../-run"]
    again = folder.run("--conf", "conf/a&b c.yaml", "--corpus", "some & corpus", "--run=-run")
    assert again.count("up to date") == 2
    assert "up to date" not in folder.run("--conf", "conf/a&b c.yaml")
    assert folder.calls() == ["../-run", "run/a&b c"]


def test_other_words_are_another_stage(folder: Folder) -> None:
    folder.run()
    folder.run("training.epochs=3", "seed=2")
    folder.run()
    assert folder.calls() == ["run/small", "run/small training.epochs=3 seed=2"]


def test_a_failed_stage_is_named_and_runs_again(folder: Folder) -> None:
    folder.write("copy.sh", "mkdir -p data; touch data/partly; exit 3\n")
    message = folder.run(code=3)
    assert "stage 1 (copy) failed with exit code 3: bash copy.sh corpus" in message
    assert not folder.calls(), "later stages must not run"
    folder.write("copy.sh", "mkdir -p data; cp input data/made; echo copied\n")
    assert "copied" in folder.run()
    assert len(folder.calls()) == 1


def test_an_input_that_changes_meanwhile_runs_the_stage_again(folder: Folder) -> None:
    folder.write("copy.sh", "mkdir -p data; cp input data/made; echo >>input; echo copied\n")
    folder.run()
    assert "copied" in folder.run()


def test_deleting_a_folder_deletes_its_marks(folder: Folder) -> None:
    folder.run()
    for path in (folder.recipe / "data" / ".done").iterdir():
        path.unlink()
    again = folder.run()
    assert "copied" in again


def test_first_and_last_stage_are_chosen(folder: Folder) -> None:
    assert "stage 5" not in folder.run("--stop-stage", "4")
    assert "stage 1" not in folder.run("--stage", "5")
    assert len(folder.calls()) == 1
    said = folder.run("--stage=1", "--stop_stage=4")
    assert "stage 1" in said
    assert "stage 5" not in said


def test_paths_are_meant_from_where_the_command_is_given(folder: Folder) -> None:
    run = str(folder.root / "any" / "run")
    assert "copied from ../elsewhere" in folder.run("--corpus", "elsewhere", "--run", run)
    assert folder.calls() == [run]
    (folder.root / "own.yaml").write_text("seed: 3\n")
    folder.run("--conf", "own.yaml")
    assert folder.calls()[1:] == ["run/own"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stag", "1"], "unknown option --stag; --help lists them"),
        (["--stage"], "--stage needs a value"),
        (["--data", "--toy"], "--data needs a value"),
        (["--stage="], "--stage needs a value"),
        (["--stage=two"], "--stage must be a number, got 'two'"),
        (["--stage", "two"], "--stage must be a number, got 'two'"),
        (["train"], "unknown word 'train'"),
        (["--conf", "conf/none.yaml"], "there is no spec conf/none.yaml"),
        (["--toy", "--corpus", "x"], "--toy makes its own corpus"),
    ],
)
def test_wrong_options_are_named(folder: Folder, options: list[str], message: str) -> None:
    said = folder.run(*options, code=2)
    assert f"recipe/run.sh: {message}" in said
    assert not folder.calls()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_recipes_are_short_and_explain_their_options(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
    helped = subprocess.run(["bash", path, "--help"], capture_output=True, text=True, check=True)
    for option in ("--corpus", "--data", "--run", "--conf", "--stage", "--jobs", "--toy"):
        assert option in helped.stdout


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_options_for_manifests_reach_every_recipe(path: Path, tmp_path: Path) -> None:
    words = ["--corpus", "none", "--data", "data", "--stage", "1", "--stop-stage", "1"]
    if path.parent.name == "librispeech":
        words += ["--parts", "mini"]
    done = subprocess.run(
        ["bash", str(path), *words, "--channel", "mix", "--allow-missing"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode, done.stdout
    assert "--channel mix --allow-missing" in done.stdout
    assert "is missing" in done.stderr


def test_librispeech_asks_for_the_parts_that_a_spec_does_not_tell(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "asrkit").touch(mode=0o755)
    done = subprocess.run(
        ["bash", ROOT / "recipes/librispeech/run.sh", "--conf", "mine.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "add --parts mini, 100h or 960h" in done.stderr


PYTHON = """#!/bin/bash
case $1 in
  -m)
    case "$3 $4 $*" in
      "files searches "*--priors) echo ctc ;;
      "files searches "*) printf 'one\\ntwo\\t%s\\n' "${0%/bin/python}/run/other.pt" ;;
      *) exec {python} "$@" ;;
    esac
    ;;
  prepare.py) mkdir -p "$(dirname "${@: -1}")"; touch "${@: -1}" ;;
esac
"""
ASRKIT = """#!/bin/bash
while (($#)); do
  if [[ $1 == --search ]]; then mkdir -p "$run/tune" && touch "$run/tune/$2.yaml"; fi
  if [[ $1 == --run ]]; then
    run=$2
    mkdir -p "$2/checkpoints" && touch "$2/checkpoints/"{index.json,average.pt} "$2/resolved.yaml"
  fi
  shift
done
"""


class Dry:
    """A recipe of the project with an `asrkit` and a `python` that do nothing."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder, self.recipe = folder, ROOT / "recipes" / recipe / "run.sh"
        (folder / "bin").mkdir()
        for name, script in (("python", PYTHON), ("asrkit", ASRKIT)):
            (folder / "bin" / name).write_text(script.replace("{python}", sys.executable))
            (folder / "bin" / name).chmod(0o755)
        names = [f"manifests/{name}.jsonl" for name in ("train", "dev", "test")]
        for name in [*names, "text/bpe.model"]:
            path = folder / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def run(self, *options: str, code: int = 0) -> str:
        places = ("--data", "data", "--run", "run/x")
        done = subprocess.run(
            ["bash", self.recipe, *places, *options],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def dry(tmp_path: Path) -> Dry:
    return Dry(tmp_path, "an4")


def test_without_a_language_model_there_is_no_stage_4(dry: Dry) -> None:
    said = dry.run("--stage", "4")
    assert "stage 4" not in said
    assert "stage 9" not in said
    assert "--set dev --search joint\n" in said


def test_a_language_model_is_trained_measured_and_then_up_to_date(dry: Dry) -> None:
    (dry.folder / "a.txt").touch()
    (dry.folder / "b.txt").touch()
    words = ("--stage", "4", "--stop-stage", "4", "--lm", "conf/lm/lstm.yaml", "--ngram", "4")
    said = dry.run(*words, "--lm-text", "a.txt", "b.txt")
    lines = [line.strip() for line in said.splitlines() if line.startswith("   ")]
    assert [line.split()[1] for line in lines] == [
        "prepare.py", "train", "average", "perplexity", "ngram",
    ]  # fmt: skip
    assert "a.txt" in lines[0]
    assert "b.txt --out" in lines[0]
    assert "data.files=\\[lm-lstm.txt.gz\\]" in lines[1]
    assert "--name lm-lstm-4gram --dev dev" in lines[4]
    assert "run/lm-lstm" in lines[3], "next to the run"
    again = dry.run(*words, "--lm-text", "a.txt", "b.txt")
    assert "stage 4: text of the language model: up to date" in again
    assert "stage 4: n-gram model: up to date" in again
    assert "--lm-text and --ngram need --lm FILE" in dry.run("--ngram", "4", code=2)


def test_an_internal_language_model_is_trained_in_the_run_and_again_for_newer_weights(
    dry: Dry,
) -> None:
    weights = dry.folder / "run" / "x" / "checkpoints" / "average.pt"
    weights.parent.mkdir(parents=True)
    (weights.parent / "index.json").touch()
    weights.touch()
    words = ("--stage", "6", "--stop-stage", "6", "--ilm", "conf/lm/mini_lstm_ilm.yaml")
    said = dry.run(*words)
    place = dry.folder / "run" / "x" / "mini_lstm_ilm"
    trained = next(line.split() for line in said.splitlines() if "   asrkit train" in line)
    assert trained[-2].endswith("run/x/mini_lstm_ilm")
    assert trained[-1].startswith("imports\\[0\\].run=")
    assert trained[-1].endswith("run/x")
    assert "run/x/mini_lstm_ilm --best 3" in said
    (place / "imported.tsv").touch()
    assert "stage 6: internal language model: up to date" in dry.run(*words)
    (place / "stale").touch()
    weights.write_text("others")
    assert "asrkit train conf/lm/mini_lstm_ilm.yaml" in dry.run(*words)
    assert not (place / "stale").exists()
    assert "stage 6: internal" not in dry.run("--stage", "6", "--stop-stage", "6")


def test_several_searches_decode_and_are_scored(dry: Dry) -> None:
    words = ("--stage", "7", "--stop-stage", "8", "--decoding", "conf/decode/table.yaml")
    said = dry.run(*words, "--search", "opls_lm", "ctc")
    for search in ("opls_lm", "ctc"):
        assert f"--set test --search {search} --spec conf/decode/table.yaml" in said
        assert f"--set test --search {search}\n" in said, "scored"
    every = dry.run(*words)
    assert "stage 8: score dev by one" in every
    assert "stage 8: score dev by two" in every


def test_how_long_utterances_may_be_is_told_to_decoding_too(dry: Dry) -> None:
    words = ("--stage", "7", "--stop-stage", "8", "--sets", "test")
    said = dry.run(*words, "data.decoding.max_seconds=900", "training.epochs=3")
    assert "--set test --search joint data.decoding.max_seconds=900\n" in said


def test_sets_can_be_chosen(dry: Dry) -> None:
    said = dry.run("--stage", "7", "--stop-stage", "8", "--sets", "test")
    assert "stage 7: decode test by joint" in said
    assert "decode dev" not in said
    refused = dry.run("--stage", "7", "--stop-stage", "8", "--sets", "dev", "tset", code=2)
    assert "there is no set tset in " in refused
    assert "decode" not in refused


def test_a_table_is_made_of_tuned_searches(dry: Dry) -> None:
    for name in ("x/checkpoints/average.pt", "other.pt"):
        (dry.folder / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (dry.folder / "run" / name).touch()
    words = ("--stage", "9", "--table", "conf/decode/table.yaml", "--decodes", "1")
    said = dry.run(*words)
    for search in ("one", "two"):
        assert f"--set dev --search {search} --spec conf/decode/table.yaml --decodes 1" in said
        assert f"decode dev by {search}" not in said, "tuning does it"
        assert f"score dev by {search}" in said
        assert f"--set test --search {search} --spec" in said
        assert f"search errors of {search} on test" in said
        assert f"search errors of {search} on dev" not in said
    assert "stage 9: label priors" in said
    assert "stage 9: table" in said
    assert "stage 9: results" in said
    assert "stage 9: tune two on dev: up to date" in dry.run(*words)
    (dry.folder / "run" / "other.pt").write_text("trained anew")
    again = dry.run(*words)
    assert "stage 9: tune two on dev: up to date" not in again, "its other model is another"
    assert "stage 9: tune one on dev: up to date" in again


TABLE = """
decoding:
  alone: {type: label_sync, beam_size: 2, scorers: {attention: 1.0}}
  fused:
    type: label_sync
    beam_size: 2
    scorers:
      lm: {type: language_model, weight: 0.2, run: lm}
      ngram: {type: ngram, weight: 0.2, arpa: lm/two.arpa.gz}
  minus:
    type: label_sync
    beam_size: 2
    scorers:
      ilm: {type: internal_lm, weight: -0.2, estimation: {type: mini_lstm, run: mini}}
  better:
    type: time_sync
    beam_size: 2
    scorers: {ctc: {type: ctc, weight: 1.0, prior: prior/ctc.json, prior_scale: 0.3}}
"""


def test_searches_are_named_with_the_files_of_their_other_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.yaml").write_text(TABLE)
    for name in ("run/lm/checkpoints/average.pt", "data/lm/two.arpa.gz", "run/x/mini/none"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(*options: str) -> Result:
        words = ["files", "searches", "run/x", "--data", "data", "--spec", "table.yaml", *options]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        return result

    lm, ngram = tmp_path / "run/lm/checkpoints/average.pt", "data/lm/two.arpa.gz"
    prior, mini = "run/x/prior/ctc.json", "run/x/mini/checkpoints/average.pt"
    complete = f"alone\nfused\t{lm}\t{ngram}\n"
    assert found().stdout == f"{complete}minus\t{mini}\nbetter\t{prior}\n"
    assert found("--priors").stdout == "ctc\n"
    here = found("--complete")
    assert here.stdout == complete
    assert here.stderr == (
        f"left out: minus, as there is no {mini}\nleft out: better, as there is no {prior}\n"
    )
