"""Text, names of files and what is printed are UTF-8, whatever the locale.

Python takes the encoding of file names, of output and of other packages' files from the locale,
once, when it starts. In a locale of another encoding, manifests and tables would mean something
else than where they were written.
"""

from __future__ import annotations

import locale
import os
import sys
from io import TextIOWrapper


def use_utf8() -> None:
    """Makes this program and those that it starts use UTF-8; the first thing that a program does.

    Where Python has started in another encoding, it starts again in its UTF-8 mode, as the same
    process with the same arguments.
    """
    if not is_utf8():
        os.environ["PYTHONUTF8"] = "1"
        # In the encoding of the locale, which decoded them, so that their bytes stay.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def is_utf8() -> bool:
    """Says whether file names and the files of other packages are UTF-8 in this process."""
    if sys.flags.utf8_mode:
        return True
    names = (sys.getfilesystemencoding(), locale.getpreferredencoding(False))
    return all(name.lower().replace("-", "") == "utf8" for name in names)
