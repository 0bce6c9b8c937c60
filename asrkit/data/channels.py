"""Which channel of an audio file is heard."""

from __future__ import annotations

from typing import Literal

Channel = int | Literal["first", "mix"]
"""From 0 on; "mix" is the mean of all."""
