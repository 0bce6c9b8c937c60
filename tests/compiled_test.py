"""What only some commands need may be missing: others say nothing of it."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = """
import sys
sys.modules["numba"] = sys.modules["kaldifst"] = sys.modules["kaldi_decoder"] = None
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", WITHOUT + code]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_all_of_asrkit_is_imported_in_silence_without_the_packages_of_hybrid_systems() -> None:
    done = run("from asrkit.config.registry import import_all; import_all()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_slow_loops_say_so_once_and_compute_the_same() -> None:
    code = """
import numpy as np
from asrkit.wfst.graph import graph_of_arcs
from asrkit.wfst.token_passing import Pruning, TokenPassing, search_graph
for _ in range(2):
    search = TokenPassing(search_graph(graph_of_arcs(0, {1: 0.5}, [(0, 1, 1, 0.25, 1)])), Pruning())
    search.step(np.zeros((1, 1), np.float32))
    lattice = search.end()
    print(lattice.graph_costs.sum() + lattice.finals.min())
"""
    done = run(code)
    assert done.stdout.split() == ["0.75", "0.75"]
    assert done.stderr.count("numba is not installed") == 1


def test_graphs_without_openfst_are_refused_with_one_message() -> None:
    code = """
from asrkit.errors import UserError
from asrkit.wfst.graph import graph_of_arcs, to_openfst
try:
    to_openfst(graph_of_arcs(0, {}, []))
except UserError as error:
    print(error)
"""
    assert "pip install 'asrkit[hybrid]'" in run(code).stdout
