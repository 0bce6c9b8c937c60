"""Failures of the machine, described in a sentence: too little memory, a lost GPU or process.

PyTorch raises such errors with any exception type; only their text says what they are.
"""

from __future__ import annotations

import errno
import re
from concurrent.futures.process import BrokenProcessPool

AGAIN = "what was saved is intact: the same command continues from there"
_PEER = "another process of this training run has ended, and its own message says why; " + AGAIN
_MEMORY = (
    "memory is short: {error}; lower data.batches.max_seconds, data.limits.max_seconds or "
    "data.num_workers (data.decoding.batch_seconds in decoding), or leave out long utterances; "
    + AGAIN
)
_SHARED = (
    "shared memory or open files are short: {error}; make room in /dev/shm, raise `ulimit -n`, or "
    "set data.num_workers=0; " + AGAIN
)
_GPU = (
    "the GPU failed: {error}; if it happens again, check it with nvidia-smi, and run once with "
    "CUDA_LAUNCH_BLOCKING=1 and `asrkit --debug` to see where; " + AGAIN
)
_FAILURES = [
    (r"out of memory|can't allocate memory|cannot allocate memory|not enough memory", _MEMORY),
    (r"too many open files|shared memory|/dev/shm|/torch_\d", _SHARED),
    (
        r"closed by (remote )?peer|connection reset|broken pipe|timed out waiting|wait timeout",
        _PEER,
    ),
    (r"\bNCCL\b|ncclremote|\bgloo\b|TCPStore|process group", _PEER),
    (r"CUDA|cuDNN|CUBLAS|CUFFT|device-side assert|\bHIP\b", _GPU),
]


def explain_failure(error: BaseException) -> str | None:
    """Returns a message for an error caused by the machine; None for others."""
    if isinstance(error, OSError):
        return _explain_os_error(error)
    if isinstance(error, MemoryError):
        return _MEMORY.format(error=str(error) or "Python can't allocate more memory")
    if isinstance(error, BrokenProcessPool):
        return f"a process was killed, as the system does when memory is short; {AGAIN}"
    if not isinstance(error, RuntimeError):  # as raised by PyTorch
        return None
    text = str(error)
    for pattern, message in _FAILURES:
        if re.search(pattern, text, re.IGNORECASE):
            return message.format(error=text.strip().partition("\n")[0])
    return None


def _explain_os_error(error: OSError) -> str | None:
    """Returns what is wrong with a disk, a folder or the limit of open files."""
    if error.errno == errno.EPIPE:
        return None
    place = f"{error.filename}: " if error.filename else ""
    todo = "raise `ulimit -n`" if error.errno in (errno.EMFILE, errno.ENFILE) else "fix that"
    return (
        f"{place}{error.strerror or error}; what was written before is intact: {todo}, then start "
        "the same command again"
    )
