"""Where the audio files lie that a file of a corpus names."""

from __future__ import annotations

from pathlib import Path

from asrkit.errors import UserError


class Places:
    """Turns paths as they are written into paths that can be opened.

    Args:
        file: The file that names them.
        root: Folder that relative paths are meant from; that of `file` if None.
    """

    def __init__(self, file: Path, root: Path | None) -> None:
        self.file, self.given = file, root is not None
        self.root = file.parent if root is None else root
        self._tried = False

    def of(self, written: str) -> Path:
        """Returns where a path leads.

        Raises:
            UserError: If the first relative one is there from the current folder only.
        """
        path = self.root / written
        if not self._tried and not self.given and not Path(written).is_absolute():
            self._tried = True
            if not path.is_file() and Path(written).is_file():
                raise UserError(
                    f"{self.file}: relative paths are meant from the folder of this file, but "
                    f"{path} is missing; from the current folder, {written} is there: give --root ."
                )
        return path
