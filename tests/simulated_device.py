"""A device that does not exist: its tensors lie in main memory, but may not meet those of the CPU.

What a GPU refuses is refused here as well: operations between its tensors and the CPU's, numpy's
view of them, generators of another device. PyTorch's reserved backend is given to it for good, so
only a process that does nothing else may import this: `device_test.py` starts one.

    model.to(DEVICE)(batch.to(DEVICE))

Results are the CPU's. What code does on GPUs only, such as choosing Triton's kernels, is not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch

NAME = "simulated"
aten: Any = torch.ops.aten
# A GPU takes these between devices, or wants an argument on the CPU.
BETWEEN_DEVICES = {aten.copy_, aten._to_copy, aten._copy_from, aten._pack_padded_sequence}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
# Numbers on the CPU, tensors without dimensions, are arguments of other operations only.
NO_NUMBERS = {aten.cat, aten.stack, aten.gather, aten.scatter, aten.index_select, aten.embedding}
# For their results the CPU has to wait until the GPU has done all before.
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.repeat_interleave}
waits: Counter[str] = Counter()
"""How often the CPU would have waited for the device, by operation; for tests to clear."""


class DeviceMismatchError(RuntimeError):
    """Tensors of two devices met."""


class DeviceTensor(Tensor):
    """A tensor that says it is on the device; `numbers` lie there."""

    numbers: Tensor

    @staticmethod
    def __new__(cls: type[DeviceTensor], inner: Tensor) -> DeviceTensor:
        with torch.inference_mode(False):  # where views of weights are ordinary tensors
            made: DeviceTensor = Tensor._make_wrapper_subclass(
                cls,
                inner.shape,
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=DEVICE,
            )
        made.numbers = inner
        return made

    def tolist(self) -> Any:
        """Returns the numbers, for which the CPU waits."""
        waits["tolist"] += 1
        return self.numbers.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Is saved as the CPU's tensor, as which checkpoints are read again."""
        return self.numbers.__reduce_ex__(protocol)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"DeviceTensor({self.numbers!r})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return run(func, args, kwargs or {})


class _Module:
    """What torch asks a backend's module; there is one device without a generator of its own."""

    def is_initialized(self) -> bool:
        return True

    is_available = is_initialized

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """The CPU's generator draws."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


@dataclass(frozen=True)
class _Kind:
    """What is to be known of an operation."""

    packet: Any
    composite: bool
    changes_shape: bool

    @classmethod
    def of(cls, func: Any) -> _Kind:
        key = "CompositeImplicitAutograd"
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)
        return cls(func.overloadpacket, composite, torch.Tag.inplace_view in func.tags)


_kind = cache(_Kind.of)


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Computes on the CPU what a device would compute, or refuses it as a GPU would.

    Raises:
        DeviceMismatchError: If tensors of two devices meet.
    """
    kind = _kind(func)
    if kind.composite:  # seen in inference mode only
        return func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
    tensors = list(_tensors((*args, *kwargs.values())))
    ours = {id(t.numbers): t for t in tensors if isinstance(t, DeviceTensor)}
    if ours and len(ours) < len(tensors):
        refuse_mixtures(kind.packet, args, tensors)
    there = _is_there(kind.packet, args, kwargs, bool(ours))
    if ours and (kind.packet in WAITING or (kind.packet is aten._to_copy and not there)):
        waits[kind.packet.__name__] += 1
    if there and kwargs.get("generator") is not None:
        raise DeviceMismatchError(f"{func}: a generator of the CPU for {NAME}")
    inner = {name: _inner(value) for name, value in kwargs.items()}
    if inner.get("device") is not None:
        inner["device"] = torch.device("cpu")
    result = _LSTM_CELLS.get(kind.packet, func)(*_inner(args), **inner)
    if kind.changes_shape and there:
        with no_dispatch():
            func(*args, **kwargs)  # gives the outer tensor its new shape as well
    assert all(t.shape == t.numbers.shape for t in ours.values()), f"{func} changed a shape"
    if kind.packet is aten._pack_padded_sequence:
        return _outer(result[0], ours, there), result[1]
    return args[0] if kind.packet is aten.copy_ else _outer(result, ours, there)


def _is_there(packet: Any, args: Any, kwargs: dict[str, Any], ours: bool) -> bool:
    """Returns whether an operation's result is on the device."""
    wanted = kwargs.get("device")
    if wanted is not None:
        return torch.device(wanted).type == NAME
    return isinstance(args[0], DeviceTensor) if packet in INDEXING else ours


def refuse_mixtures(packet: Any, args: Any, tensors: list[Tensor]) -> None:
    """Refuses what a GPU does not take.

    Raises:
        DeviceMismatchError: If tensors of two devices meet.
    """
    others = [t for t in tensors if not isinstance(t, DeviceTensor)]
    if packet in INDEXING:  # by positions on the CPU, but not the CPU's tensors by others
        others = [] if isinstance(args[0], DeviceTensor) else others
        others += [
            t for t in args[2:3] if isinstance(t, Tensor) and not isinstance(t, DeviceTensor)
        ]
    if packet not in NO_NUMBERS:
        others = [t for t in others if t.dim()]
    if others and packet not in BETWEEN_DEVICES and packet not in _BATCH_SIZES:
        shapes = [tuple(t.shape) for t in others]
        raise DeviceMismatchError(f"{packet}: {NAME} and CPU tensors of shapes {shapes}")


# Batch sizes of packed sequences stay on the CPU.
_BATCH_SIZES = {aten._pack_padded_sequence_backward, aten._pad_packed_sequence, aten.lstm}


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _inner(value: Any) -> Any:
    if isinstance(value, DeviceTensor):
        return value.numbers
    return type(value)(map(_inner, value)) if isinstance(value, (list, tuple)) else value


def _outer(value: Any, ours: dict[int, DeviceTensor], there: bool) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_outer(each, ours, there) for each in value)
    if not isinstance(value, Tensor) or isinstance(value, DeviceTensor):
        return value
    return ours[id(value)] if id(value) in ours else DeviceTensor(value) if there else value


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> Tensor:
    return DeviceTensor(torch.empty_strided(size, stride, dtype=dtype))


def _made_by(name: str) -> Any:
    """Returns what makes a tensor elsewhere than by filling one of another shape."""
    packet, _, overload = name.partition(".")
    func = getattr(getattr(aten, packet), overload or "default")

    def make(*args: Any, device: Any = None, pin_memory: Any = None, **kwargs: Any) -> Tensor:
        return DeviceTensor(func(*args, device=torch.device("cpu"), **kwargs))

    return make


def _copy_from(source: Tensor, place: Tensor, non_blocking: bool = False) -> Tensor:
    _inner(place).copy_(_inner(source))
    return place


def _lstm_cell(
    inputs: Tensor,
    hidden: Tensor,
    cell: Tensor,
    bias: Tensor | None = None,
    other: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns output and cell (B, H), and the gates (B, 4 H), as the fused kernel of GPUs."""
    gates = inputs + hidden
    if bias is not None and other is not None:
        gates = gates + bias + other
    enter, keep, new, out = gates.chunk(4, 1)
    gates = torch.cat([enter.sigmoid(), keep.sigmoid(), new.tanh(), out.sigmoid()], 1)
    enter, keep, new, out = gates.chunk(4, 1)
    after = keep * cell + enter * new
    return out * after.tanh(), after, gates


def _lstm_cell_backward(
    of_output: Tensor | None,
    of_cell: Tensor | None,
    before: Tensor,
    after: Tensor,
    gates: Tensor,
    has_bias: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns the gradients of gates (B, 4 H), cell (B, H) and bias (4 H,)."""
    enter, keep, new, out = gates.chunk(4, 1)
    squashed = after.tanh()
    total = torch.zeros_like(after) if of_cell is None else of_cell
    of_out = torch.zeros_like(after)
    if of_output is not None:
        total = total + of_output * out * (1 - squashed.square())
        of_out = of_output * squashed
    parts = [
        total * new * enter * (1 - enter),
        total * before * keep * (1 - keep),
        total * enter * (1 - new.square()),
        of_out * out * (1 - out),
    ]
    of_gates = torch.cat(parts, 1)
    return of_gates, total * keep, of_gates.sum(0) if has_bias else None


backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
DEVICE = torch.device(NAME, 0)
_others = torch.library.Library("_", "IMPL")
_others.fallback(lambda func, *args, **kwargs: run(func, args, kwargs), "PrivateUse1")
_own = torch.library.Library("aten", "IMPL")
_own.impl("empty_strided", _empty_strided, "PrivateUse1")
_own.impl("_copy_from", _copy_from, "PrivateUse1")
for _name in ("arange", "arange.start", "arange.start_step", "linspace", "eye", "randperm"):
    _own.impl(_name, _made_by(_name), "PrivateUse1")
_LSTM_CELLS = {
    aten._thnn_fused_lstm_cell: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl: _lstm_cell_backward,
}
