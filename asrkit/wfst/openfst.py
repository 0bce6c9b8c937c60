"""OpenFst, which only those need who make graphs or pronounce words by G2P."""

from __future__ import annotations

from typing import Any

from asrkit.errors import UserError


def openfst() -> Any:
    """Returns the package `kaldifst`.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import kaldifst
    except ImportError as error:
        raise UserError(
            f"graphs and G2P need kaldifst ({error}): pip install 'asrkit[hybrid]'"
        ) from error
    return kaldifst
