"""Compiled loops: what only some need may be missing, and signals end them in order."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = """
import sys
sys.modules["numba"] = sys.modules["kaldifst"] = sys.modules["kaldi_decoder"] = None
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def run_without(code: str) -> subprocess.CompletedProcess[str]:
    return run(WITHOUT + code)


def test_all_of_asrkit_is_imported_in_silence_without_the_packages_of_hybrid_systems() -> None:
    done = run_without("from asrkit.config.registry import import_all; import_all()")
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
    done = run_without(code)
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
    assert "pip install 'asrkit[hybrid]'" in run_without(code).stdout


LOOPS = """
import os, signal, threading
import numpy as np
from asrkit.cli.group import main
from asrkit.wfst.lattice_kernels import best_path_of

many = np.arange(1_000_000)
arcs = np.zeros(10**6), np.zeros(10**6 + 1), many, many + 1

@main.command()
def works():
    best_path_of(many * 0, many[:0], *arcs)  # is compiled
    threading.Timer(0.1, os.kill, (os.getpid(), signals.pop())).start()
    while True:
        best_path_of(many * 0, many[:0], *arcs)

signals = [signal.SIGTERM, signal.SIGINT]
while signals:
    try:
        main(["works"])
    except SystemExit as end:
        print(end.code)
"""


def test_signals_during_compiled_loops_end_a_command_with_a_message() -> None:
    done = run(LOOPS)
    assert (done.returncode, done.stdout.split()) == (0, ["130", "75"]), done.stderr
    told = done.stderr.splitlines()
    assert told[0].startswith("asrkit: interrupted; what was saved is intact")
    assert told[1].startswith("asrkit: stopped by SIGTERM; what was saved is intact")
    assert len(told) == 2
