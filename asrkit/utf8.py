"""Text, file names and output are UTF-8, whatever the locale.

When it starts, Python takes the encoding of file names, output and other packages' files from the
locale. With another encoding, manifests and tables would not mean the same on all machines.
"""

from __future__ import annotations

import locale
import os
import sys
from io import TextIOWrapper


def use_utf8() -> None:
    """Makes this program and those that it starts use UTF-8; a program must call this first.

    If Python has started with another encoding, it starts again in its UTF-8 mode, as the same
    process with the same arguments.
    """
    if not is_utf8():
        os.environ["PYTHONUTF8"] = "1"
        # Encoded like they were decoded, by the locale, so that their bytes stay the same.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def is_utf8() -> bool:
    """Returns whether file names and the files of other packages are UTF-8 in this process."""
    if sys.flags.utf8_mode:
        return True
    names = (sys.getfilesystemencoding(), locale.getpreferredencoding(False))
    return all(name.lower().replace("-", "") == "utf8" for name in names)
