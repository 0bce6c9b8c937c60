"""Taps: the blocks of an encoder whose outputs heads may read, in addition to the last."""

from __future__ import annotations

from asrkit.models.interfaces import Encoder


def checked_taps(taps: list[int], num_layers: int) -> list[int]:
    """Returns the taps of an encoder.

    Args:
        taps: Blocks, counted from 1.
        num_layers: How many there are.

    Raises:
        ValueError: If one is not a block.
    """
    beyond = [tap for tap in taps if not 1 <= tap <= num_layers]
    if beyond:
        raise ValueError(f"taps {beyond} are not blocks: there are blocks 1 to {num_layers}")
    return list(taps)


def require_tap(encoder: Encoder, tap: int | None) -> None:
    """Checks that the encoder gives what a head wants to read.

    Raises:
        ValueError: If it does not.
    """
    if tap is None:
        return
    if not 1 <= tap <= encoder.num_layers:
        raise ValueError(f"tap ({tap}) is beyond the encoder's blocks 1 to {encoder.num_layers}")
    if tap not in encoder.taps:
        raise ValueError(
            f"tap ({tap}) is not among the encoder's taps {encoder.taps}; add it to encoder.taps"
        )
