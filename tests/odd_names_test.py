"""Names with tabs, line ends and bytes that are no UTF-8 stay whole in every list of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asrkit.data.alignment_text import write_text
from asrkit.data.alignments import Alignments, read_alignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Unusable, read_unusable, write_unusable
from asrkit.experiment.record import record_command, this_command
from asrkit.files import write_lines
from asrkit.reports.commands import read_commands
from asrkit.reports.markdown import escaped, picture, unescaped
from asrkit.run_files import NbestLine
from asrkit.scoring.edits import Errors, WordAligner
from asrkit.scoring.error_tables import (
    aligned_lines,
    aligned_texts,
    read_aligned,
    read_counts,
    speaker_rows,
    utterance_rows,
)
from asrkit.scoring.nist.ctm import write_trn
from asrkit.tables import write_rows
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

NAME = "a\tb\nc\rd\\t\x1b\x85e"
BYTES = "gr\udcfcn"
"""As Python has the name of a file that is no UTF-8."""


def test_lists_of_utterances_come_back(tmp_path: Path) -> None:
    unusable = [Unusable(NAME, "why\t", "de\ntail"), Unusable(BYTES, "", "")]
    write_unusable(tmp_path / "list.tsv", unusable)
    assert read_unusable(tmp_path / "list.tsv") == unusable


def test_alignments_come_back(tmp_path: Path) -> None:
    targets = FrameTargets(Outputs.labels_with_blank(Vocabulary(list("abc"))))
    alignments = Alignments(targets)
    alignments.add(NAME, 1.0, [0, 3, 2])
    alignments.add(BYTES, 1.0, [1])
    alignments.write(tmp_path / "a.safetensors")
    write_text(tmp_path / "a.tsv", targets, alignments.symbols)
    for path in (tmp_path / "a.safetensors", tmp_path / "a.tsv"):
        found = read_alignments([path], targets)
        assert found.of(NAME, 1.0).tolist() == [0, 3, 2]
        assert found.of(BYTES, 1.0).tolist() == [1]


def test_counts_of_utterances_and_speakers_come_back(tmp_path: Path) -> None:
    lines = [NbestLine(id=name, speaker=NAME, reference="a b", text="a") for name in (NAME, BYTES)]
    aligned = WordAligner()(lines).utterances
    write_rows(tmp_path / "utterances.tsv", utterance_rows(aligned))
    found = read_counts(tmp_path / "utterances.tsv", 2)
    assert {name: counted.speaker for name, counted in found.items()} == {NAME: NAME, BYTES: NAME}
    assert found[NAME].errors == Errors(deletions=1, words=2)
    write_rows(tmp_path / "speakers.tsv", speaker_rows(aligned))
    assert read_counts(tmp_path / "speakers.tsv", 2).keys() == {NAME}
    assert len(aligned_texts(aligned)) == 2 * 5, "lines of pictures"
    write_lines(tmp_path / "aligned.jsonl", aligned_lines(aligned))
    assert [line.id for line in read_aligned(tmp_path / "aligned.jsonl")] == [NAME, BYTES]
    write_trn(tmp_path / "hypotheses.trn", [(NAME, "a"), (BYTES, "b")])
    assert (tmp_path / "hypotheses.trn").read_bytes().count(b"\n") == 2


def test_a_recorded_command_is_what_a_shell_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["printf", "%s|", f"run/{BYTES} 1", "two\nlines", "it's", "tab\t", "plain", "grün"]
    monkeypatch.setattr(sys, "argv", words)
    record_command(tmp_path)
    record_command(tmp_path)
    assert read_commands(tmp_path / "commands.txt") == [this_command()]
    told = subprocess.run(["bash", "-c", this_command()], capture_output=True, check=True).stdout
    assert told.decode("utf-8", "surrogateescape").split("|")[:-1] == words[2:]


def test_the_module_is_recorded_as_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/asrkit/__main__.py", "train", "x.yaml"])
    assert this_command() == "asrkit train x.yaml"


def test_results_name_them() -> None:
    assert unescaped(escaped(BYTES)) == BYTES
    escaped(BYTES).encode()
    assert "gr%FCn" in picture("x", BYTES)
