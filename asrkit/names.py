"""Names of sets, searches, tokenizers and models, which become file and folder names."""

from __future__ import annotations

import re

from asrkit.errors import UserError

_NAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,199}")


def is_name(text: str) -> bool:
    """Returns whether a text can name a file in a folder, not one elsewhere or a hidden one."""
    return _NAME.fullmatch(text) is not None


def require_name(text: str, what: str) -> str:
    """Returns a name if it is valid.

    Args:
        text: The name.
        what: What it is the name of, such as "a set".

    Raises:
        UserError: If it is empty, hidden (`.x`), leads elsewhere (`../x`) or can't be printed.
    """
    if not is_name(text):
        raise UserError(
            f"{text[:100]!r} can't be the name of {what}: expected a name without / and \\, that "
            "does not begin with a dot"
        )
    return text
