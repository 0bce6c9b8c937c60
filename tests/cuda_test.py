"""What has to be seen on a GPU: results as on the CPU; all is skipped where there is none.

`tools/gpu_day.sh run tests` starts this.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from asrkit.data.batch import Batch
from asrkit.lattice.topologies import Topology
from asrkit.losses.ctc import ctc_loss
from asrkit.losses.full_sum import full_sum_loss
from asrkit.training.checkpoints import load_weights, resolve
from asrkit.training.trainer import Trainer
from tests.devices import ON_CUDA
from tests.losses.full_sum_test import BLANK, WITH_PATHS, scores_of
from tests.losses.full_sum_test import Path as Alignment
from tests.training.programs.toy import make_trainer

ROOT = Path(__file__).parents[1]
pytestmark = list(ON_CUDA)


def test_recipes_train_and_decode_as_on_the_cpu() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/device_cases.py"],
        cwd=ROOT,
        env={**os.environ, "ASRKIT_DEVICE": "cuda"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]


@WITH_PATHS
def test_losses_are_sums_over_all_alignments(
    topology: Topology, paths: Callable[[int, tuple[int, ...]], Iterator[Alignment]]
) -> None:
    torch.manual_seed(0)
    pairs = list(itertools.product(range(3), repeat=2))
    labels, frames = torch.tensor(pairs), 4
    logits = torch.randn(len(pairs), frames, 3, 4)
    exact = logits.double().log_softmax(3)
    expected = []
    for row, pair in enumerate(pairs):
        sums = [sum(exact[row, t, u, symbol] for symbol, t, u in p) for p in paths(frames, pair)]
        expected.append(-torch.stack([torch.as_tensor(each) for each in sums]).logsumexp(0))
    assert BLANK == -1, "which is the last entry"
    lengths, sizes = torch.full((len(pairs),), frames), torch.full((len(pairs),), 2)
    names, ends, counts = labels.cuda(), lengths.cuda(), sizes.cuda()
    scores = scores_of(logits.cuda(), names, counts, topology)
    found = full_sum_loss(scores, names, ends, counts, topology).cpu().double()
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_ctc_is_that_of_the_cpu() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(3, 9, 5), torch.randint(0, 4, (3, 3))
    lengths, sizes = torch.tensor([9, 7, 2]), torch.tensor([3, 0, 3])
    results = []
    for device in ("cpu", "cuda"):
        leaf = scores.to(device).requires_grad_()
        given = [each.to(device) for each in (lengths, labels, sizes)]
        losses, fits = ctc_loss(leaf.log_softmax(2), *given)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        results.append([each.detach().cpu() for each in (losses, fits, gradient)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_run_that_stopped_goes_on_as_it_would_have(tmp_path: Path) -> None:
    def trainer(name: str) -> Trainer:
        made = make_trainer(tmp_path / name, accumulate=2)
        assert made.world.device.type == "cuda"
        return made

    trainer("whole").run()
    first = trainer("stopped")
    first.epochs = 1
    first.run()
    trainer("stopped").run()
    whole, stopped = (load_weights(resolve(tmp_path / n, "last")) for n in ("whole", "stopped"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, stopped[name]), name


def test_batches_arrive_whole() -> None:
    signal = torch.randint(-9, 9, (2, 5), dtype=torch.int16)
    two = torch.tensor([5, 3])
    there = Batch(["a", "b"], signal, two, two[:, None], two).to(torch.device("cuda"))
    assert there.signal.is_cuda
    assert torch.equal(there.signal.cpu(), signal)
    assert torch.equal(there.signal_lengths.cpu(), two)


def test_memory_that_runs_out_is_told_from_other_errors() -> None:
    total = torch.cuda.mem_get_info()[1]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        torch.empty(2 * total, dtype=torch.uint8, device="cuda")
    assert float(torch.ones(3, device="cuda").sum()) == 3.0
