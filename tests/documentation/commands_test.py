"""Every command of the documentation runs as it is written, on small data; unknown ones fail."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asrkit.cli import main
from tests.documentation import small_project
from tests.documentation.commands import ROOT, Command, documented, of_comments, of_markdown
from tests.documentation.dry import DryProject, understand

FILLED = {
    "/path/to/corpora": "corpora",
    "/path/to/an4": "an4",
    "--nproc-per-node 4": "--nproc-per-node 2",
    "--size 500": "--size 24",
    "epochs=20": "epochs=2",
    "--variants v": "--row base-1",
    "--epochs 50,80": "--epochs 1",
    "--epochs 50": "--epochs 1",
    "--trials 30 --epochs 3,9,27": "--trials 2 --epochs 1 --report",
    "train ...": "train conf/x.yaml --data data --run run/x",
    "VERB ...": "list encoder",
    "list KIND": "list encoder",
}
"""What stands for something else, or would take long."""


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> DryProject:
    return DryProject(tmp_path_factory.mktemp("dry") / "project")


@pytest.fixture
def places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(request, monkeypatch)


class Places:
    """Ways to run a command, each in the folder that it needs.

    Args:
        request: Makes the folders when they are needed.
        monkeypatch: Goes there.
    """

    def __init__(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        self._request, self._monkeypatch = request, monkeypatch

    def mentioned(self, command: Command, text: str) -> None:
        """A word alone is the name of a program; nothing is to be run."""
        there = [ROOT / text, *ROOT.glob(f"recipes/*/{text}")]
        assert text in ("asrkit", "torchrun", "tensorboard") or any(
            path.is_file() for path in there
        )

    def in_ci(self, command: Command, text: str) -> None:
        """What takes long is a line of what every change must pass."""
        script = (ROOT / ".ci" / "run").read_text()
        assert re.search(rf"^ *{re.escape(text)}( \||$)", script, flags=re.M)

    def dry(self, command: Command, text: str) -> None:
        """A recipe for real corpora starts commands that are understood."""
        folder = command.file.relative_to(ROOT).parts[:2]
        place = Path(*folder) if folder[0] == "recipes" else Path()
        if folder[0] != "recipes" and text.startswith("run.sh"):
            place = Path("recipes", "an4")
        self._request.getfixturevalue("dry").run(text, place)

    def asrkit(self, command: Command, text: str) -> None:
        """A verb does its work on small data."""
        self._go()
        small_project.run(shlex.join(shlex.split(text)[1:]))

    def parallel(self, command: Command, text: str) -> None:
        """Two processes train."""
        self._go()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            shlex.split(text), env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        run = text.split("--run ")[1].split()[0]
        assert Path(run, "log.jsonl").is_file()

    def script(self, command: Command, text: str) -> None:
        """A tool does its work on small data."""
        self._go()
        words = shlex.split(text)
        assert words[0] == "python" or os.access(words[0], os.X_OK)
        self._start(words[1:] if words[0] == "python" else words)

    def options(self, command: Command, text: str) -> None:
        """What takes minutes, or another toolkit, understands its options at least."""
        self._go()
        self._start([*shlex.split(text)[1:], "--help"])

    def options_of_verb(self, command: Command, text: str) -> None:
        """A verb that needs a model of another kind understands its options at least."""
        self._go()
        small_project.run(shlex.join([*shlex.split(text.replace("$speeds", ""))[1:], "--help"]))

    def understood(self, command: Command, text: str) -> None:
        """Commands that build on each other are understood here, and run in hybrid_page_test.py."""
        understand(main, shlex.split(text)[1:])

    def message(self, command: Command, text: str) -> None:
        """What a program says is in its text."""
        assert text in (ROOT / "tools" / "stages.sh").read_text()

    def of_others(self, command: Command, text: str) -> None:
        """Another toolkit is not installed; the programs that do so are there."""
        assert text == "python -m venv espnet && espnet/bin/pip install espnet"
        self.shell(command, f"{sys.executable} -m venv --help >/dev/null")

    def shell(self, command: Command, text: str) -> None:
        """A command of the shell ends well."""
        self._go()
        subprocess.run(["bash", "-euc", text], check=True)

    def tensorboard(self, command: Command, text: str) -> None:
        """TensorBoard is installed, and understands its options."""
        words = [str(Path(sys.executable).parent / "tensorboard"), *shlex.split(text)[1:]]
        subprocess.run([*words, "--inspect"], check=True, capture_output=True, cwd=self._go())

    def _go(self) -> Path:
        folder: Path = self._request.getfixturevalue("small")
        self._monkeypatch.chdir(folder)
        small_project.renew()
        return folder

    def _start(self, words: list[str]) -> None:
        self._monkeypatch.setattr(sys, "argv", words)
        self._monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(words[0], run_name="__main__")
        assert not ended.value.code


WAYS: dict[str, Callable[[Places, Command, str], None]] = {
    r"\S+": Places.mentioned,
    r"asrkit is not installed .*": Places.message,
    r"python -m venv espnet .*": Places.of_others,
    r"asrkit [a-z-]+": Places.options_of_verb,  # only named in a sentence or table
    r"tools/in_venv\.sh (tests/run\.sh|recipes/\w+/run\.sh --toy.*)": Places.in_ci,
    r"(?s)(.* )?(\S*/)?run\.sh .*": Places.dry,
    r"asrkit align .*(\$speeds|--head transducer).*": Places.options_of_verb,
    r"asrkit (alignments|chain|features|gmm|lattices) .*": Places.options_of_verb,  # of mixtures
    r"asrkit tokenizer .*--text words\.txt\.gz.*": Places.understood,  # of more text than is here
    r"asrkit .*": Places.asrkit,
    r"torchrun .*": Places.parallel,
    r"(python )?tools/results_table\.py .*": Places.script,
    r"python tools/(make_toy_corpus|(comparison|benchmark|parity)/\w+)\.py.*": Places.options,
    r"python tools/dump_tensorflow\.py.*": Places.options,
    r"source .venv/bin/activate": Places.shell,
    r"tensorboard .*": Places.tensorboard,
}
"""How commands are run; the first that fits."""


def as_run(command: Command) -> str:
    """Returns the text of a command with what stands for something else."""
    text = command.text
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return text


def distinct() -> list[Command]:
    """Returns all commands, each once for those files whose place makes no difference to it."""
    found: dict[tuple[str, str], Command] = {}
    for command in documented():
        matters = "recipes" in command.file.parts or command.file.name == "hybrid.md"
        found.setdefault((as_run(command), str(command.file) if matters else ""), command)
    return [*found.values()]


@pytest.mark.parametrize("command", distinct(), ids=str)
def test_documented_commands_run_as_they_are_written(command: Command, places: Places) -> None:
    text = as_run(command)
    ways = [way for pattern, way in WAYS.items() if re.fullmatch(pattern, text)]
    assert ways, f"nothing in WAYS says how to run {command}"
    chain = command.file.name == "hybrid.md" and ways[0] is Places.asrkit
    (Places.understood if chain else ways[0])(places, command, text)


def test_every_way_is_used_and_commands_are_found() -> None:
    texts = [command.text for command in documented()]
    for pattern in WAYS:
        assert any(re.fullmatch(pattern, text) for text in texts), pattern
    assert len(texts) > 80


def test_commands_are_found_where_they_stand() -> None:
    markdown = "Say `asrkit list`, `key: 1`.\n```\nfor x in a b; do\n  run.sh $x\ndone\n```\n"
    markdown += "```yaml\nasrkit: 1\n```\n```\nrun.sh --a \\\n  --b    # why\n```\n"
    assert list(of_markdown(markdown)) == [
        "for x in a b; do\n  run.sh $x\ndone", "run.sh --a --b", "asrkit list",
    ]  # fmt: skip
    script = "# As `asrkit list` says:\n#   run.sh --a \\\n#     --b    explained\nrun.sh z\n"
    assert list(of_comments(script)) == ["run.sh --a --b", "asrkit list"]
