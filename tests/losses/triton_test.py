"""Where kernels of Triton are chosen, that they compile, and, in other processes, their results."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from asrkit import acceleration

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("triton_cases.py")


def run_cases(**environment: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", str(CASES)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def needs_triton() -> None:
    if find_spec("triton") is None:
        pytest.skip("triton is not installed; pip install triton, where there is one")


def test_kernels_have_the_results_of_pytorch_in_the_interpreter() -> None:
    needs_triton()
    run_cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_kernels_have_the_results_of_pytorch_on_the_gpu() -> None:
    needs_triton()
    run_cases(TRITON_INTERPRET="0")


def compiled(kernel: Any, pointers: dict[str, str], constants: dict[str, int], warps: int) -> int:
    """Returns the size of the binary for a GPU of compute capability 9.0, which need not exist."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = {name: pointers.get(name, "i32") for name in kernel.arg_names}
    source = ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constants)
    target = GPUTarget("cuda", 90, 32)
    return len(triton.compile(source, target=target, options={"num_warps": warps}).asm["cubin"])


@pytest.fixture
def triton_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_triton()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton import knobs
    from triton.backends import backends

    if "nvidia" not in backends or knobs.runtime.interpret:
        pytest.skip("this triton has no compiler for NVIDIA's GPUs, or is to interpret")


@pytest.mark.usefixtures("triton_compiler")
@pytest.mark.parametrize("kinds", [2, 3])
@pytest.mark.parametrize("block", [1, 32, 64, 1024, 4096])
def test_lattice_kernel_compiles(kinds: int, block: int) -> None:
    from asrkit.lattice import triton_recursions

    pointers = {"arcs": "*fp64", "steps": "*i64", "final": "*i1", "scores": "*fp64"}
    constants = {"KINDS": kinds, "BLOCK": block}
    warps = min(max(block // 64, 1), 16)
    assert compiled(triton_recursions._recursion_kernel, pointers, constants, warps)


@pytest.mark.usefixtures("triton_compiler")
@pytest.mark.parametrize(("logits", "sums"), [("*bf16", "*fp32"), ("*fp32",) * 2, ("*fp64",) * 2])
@pytest.mark.parametrize(("classes", "targets", "block"), [(1, 1, 1), (7, 1, 8), (5001, 3, 2048)])
@pytest.mark.parametrize("floored", [False, True])
def test_softmax_kernels_compile(
    logits: str, sums: str, classes: int, targets: int, block: int, floored: bool
) -> None:
    from asrkit.losses import triton_softmax

    pointers = {"logits": logits, "targets": "*i64"}
    pointers |= dict.fromkeys(("picked", "normaliser", "weights", "floor"), sums)
    for kernel in (triton_softmax._picking_kernel, triton_softmax._gradient_kernel):
        constants = {"CLASSES": classes, "TARGETS": targets, "BLOCK": block}
        if "FLOORED" in kernel.arg_names:
            constants["FLOORED"] = floored
        assert compiled(kernel, pointers, constants, triton_softmax._warps(block))


@pytest.mark.usefixtures("triton_compiler")
@pytest.mark.parametrize("kind", ["*fp32", "*fp64"])
@pytest.mark.parametrize("posteriors", [False, True])
def test_kernel_of_lf_mmi_compiles(kind: str, posteriors: bool) -> None:
    from asrkit.losses import triton_mmi

    numbers = ("exps", "values", "result", "forward", "posteriors", "stay_weights", "weights")
    pointers = dict.fromkeys(numbers, kind)
    pointers |= dict.fromkeys(("stays", "offsets", "others", "states"), "*i32")
    constants = {"POSTERIORS": posteriors, "BLOCK_N": 16, "BLOCK_B": 64}
    assert compiled(triton_mmi._frame_kernel, pointers, constants, triton_mmi.WARPS)


def test_kernels_serve_on_a_gpu_where_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def serves(cuda: bool, requires_grad: bool = False) -> bool:
        tensor = SimpleNamespace(is_cuda=cuda, requires_grad=requires_grad)
        return acceleration.triton_serves(cast(Tensor, tensor))

    monkeypatch.setattr(acceleration, "_installed", lambda: True)
    assert serves(cuda=True)
    assert not serves(cuda=False)
    assert not serves(cuda=True, requires_grad=True)
    with torch.no_grad():
        assert serves(cuda=True, requires_grad=True)
    monkeypatch.setattr(acceleration, "_installed", lambda: False)
    assert not serves(cuda=True)


def test_losses_on_a_cpu_do_not_import_triton() -> None:
    code = """
import sys, torch
from asrkit.losses.joiner import Joiner
from asrkit.losses.joiner_loss import joiner_loss
from asrkit.lattice.topologies import RnaTopology
encoder = torch.zeros(1, 2, 3, requires_grad=True)
given = (torch.zeros(1, 1, dtype=torch.int64), torch.tensor([2]), torch.tensor([1]))
joiner = Joiner(torch.zeros(4, 3), torch.zeros(4))
joiner_loss(encoder, torch.zeros(1, 2, 3), joiner, *given, RnaTopology()).sum().backward()
sys.exit("triton was imported" if "triton" in sys.modules else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
