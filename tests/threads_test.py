from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.threads import num_cores, use_threads


def test_threads_sleep_while_they_wait_unless_told_otherwise() -> None:
    code = "import asrkit, os; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'])"
    plain = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    for given, expected in (({}, "PASSIVE 0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE 0")):
        words = [sys.executable, "-c", code]
        out = subprocess.run(words, env={**plain, **given}, capture_output=True, check=True)
        assert out.stdout.decode().strip() == expected


def test_pytorch_is_not_loaded_before_that() -> None:
    code = "import asrkit, sys; raise SystemExit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_container_limits_the_cores(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    all_of_them = num_cores(quota)
    for text, expected in (("max 100000", all_of_them), ("100000 100000", 1), ("5 100000", 1)):
        quota.write_text(text + "\n")
        assert num_cores(quota) == expected


@pytest.mark.parametrize(
    "verb", ["train", "decode", "align", "prior", "perplexity", "tune", "search-errors"]
)
def test_verbs_that_compute_take_a_number_of_threads(verb: str) -> None:
    out = CliRunner().invoke(main, [verb, "--threads", "0"])
    assert out.exit_code == 2
    assert "0 is not in the range" in out.output


def test_the_number_of_threads_is_set() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
