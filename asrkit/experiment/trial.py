"""One tiny batch through a model, forward and backward, before hours are spent on it.

Constructors are checked on tensors without data; what a component computes is not known before it
has computed something: a result of another shape, None, or an exception in a user's own component.
"""

from __future__ import annotations

import traceback
from collections import deque
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from asrkit.data.batch import Batch
from asrkit.data.frame_targets import PADDING
from asrkit.errors import UserError
from asrkit.models.interfaces import LossPart, TrainableModel
from asrkit.text.vocabulary import Vocabulary

MAX_PARAMETERS = 300_000_000
"""Larger models are not tried: making them takes long and gigabytes."""
SECONDS = (0.8, 1.0, 2.0, 4.0, 8.0)
"""Of noise: as short as gives some frames."""
RECENT = 3
"""Parts that a message names: the last that were done before something failed."""


def trial_problem(
    model: TrainableModel, vocabulary: Vocabulary, sample_rate: int | None
) -> str | None:
    """Returns what fails when a model learns from a tiny batch of noise; None if nothing does.

    Args:
        model: With weights; they get gradients.
        vocabulary: Its labels.
        sample_rate: Of the noise; None for text alone.
    """
    recent: deque[str] = deque(maxlen=RECENT)
    names = {module: f"model.{name}" if name else "model" for name, module in _named(model)}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        recent.append(f"{names.get(module, type(module).__name__)} gave {_shown(output)}")

    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model.train()
            _objective(model(_batch(model, vocabulary, sample_rate), step=0)).backward()
    except UserError as error:
        return f"model: {error}"
    except Exception as error:  # whatever a component may raise
        return _told(error, names, recent)
    finally:
        hook.remove()
    return None


def _named(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(model.named_modules())


def _batch(model: TrainableModel, vocabulary: Vocabulary, sample_rate: int | None) -> Batch:
    """Returns two utterances of noise with a few labels."""
    labels = torch.arange(min(2, len(vocabulary))).expand(2, -1).contiguous()
    lengths = torch.full((2,), labels.shape[1])
    ids = ["trial-1", "trial-2"]
    if sample_rate is None:
        return Batch(
            ids, torch.zeros(2, 0, dtype=torch.int16), torch.zeros(2).long(), labels, lengths
        )
    samples = torch.tensor([0, 0])
    for seconds in SECONDS:
        samples = (torch.tensor([0.9, 1.0]) * seconds * sample_rate).long()
        needed = model.min_frames(labels[0].tolist())
        if int(model.output_frames(samples).min()) >= max(needed, 2 * labels.shape[1]):
            break
    return Batch(
        ids, model.noise(samples), samples, labels, lengths, _alignment(model, labels, samples)
    )


def _alignment(model: TrainableModel, labels: Tensor, samples: Tensor) -> Tensor | None:
    """Returns blanks with a label here and there, or classes, if a head is trained on them."""
    targets = model.given_targets
    if targets is None:
        return None
    frames = model.target_frames(samples)
    places = torch.arange(int(frames.max()))
    if targets.rate == "sequence":  # of which each symbol has two frames
        frames = (frames + 1) // 2
        return (
            (places % targets.outputs.blank)
            .repeat(2, 1)
            .masked_fill(places >= frames[:, None], PADDING)
        )
    symbols = (places % len(targets.outputs)).repeat(2, 1)
    if targets.spell_text:
        symbols[:] = targets.outputs.specials.get("blank", 0)
        symbols[:, : 2 * labels.shape[1] : 2] = labels
    return symbols.masked_fill(places >= frames[:, None], PADDING)


def _objective(report: Any) -> Tensor:
    """Returns what training minimises."""
    if not isinstance(report, dict) or not all(isinstance(p, LossPart) for p in report.values()):
        raise TypeError(f"expected a mapping of LossParts from the model, got {_shown(report)}")
    parts = [part.weight * part.total / max(part.count, 1) for part in report.values()]
    return torch.stack([part.float() for part in parts]).sum()


def _told(error: Exception, names: dict[nn.Module, str], recent: deque[str]) -> str:
    """Returns an exception with the component that it came from, and what had been computed."""
    where, place = "model", ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if isinstance(module, nn.Module) and module in names:
            where = names[module]
            code = trace.tb_frame.f_code
            place = (
                f" in {type(module).__name__}.{code.co_name} ({code.co_filename}:{trace.tb_lineno})"
            )
        trace = trace.tb_next
    said = "".join(traceback.format_exception_only(error)).strip().split("\n")[0]
    before = f"; before that, {', '.join(recent)}" if recent else ""
    return f"{where}: a batch of noise fails{place}: {said}{before}"


def _shown(value: Any) -> str:
    """Returns what a part gave, in words."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(_shown(item) for item in value[:4]) + ")"
    return "None" if value is None else f"a {type(value).__name__}"
