"""The paths in the folder of an ablation study: the only place that knows its file names.

OUT/NAME-SEED/         run folder of a row: a variant trained with a seed; `base` for the base
OUT/logs/NAME-SEED.log what a row's process said
OUT/cluster/           what is kept of jobs on a cluster
OUT/ablation.md        the results, for RESULTS.md
OUT/ablation.html      the same as one page that needs no other file
OUT/forest.png         differences to the base with their intervals
OUT/commands.txt       the commands that were given
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.run_folder import DecodedSet, RunFolder


@dataclass(frozen=True)
class AblationFolder:
    """The paths in the folder of an ablation study.

    Args:
        path: The folder.
    """

    path: Path

    def run(self, row: str) -> RunFolder:
        """Returns the run folder of a row, such as no-aux-1."""
        return RunFolder(self.path / row)

    def log(self, row: str) -> Path:
        """Returns the file with what a row's process said."""
        return self.path / "logs" / f"{row}.log"

    def decoded(self, row: str, search: str, epoch: int, set_name: str) -> DecodedSet:
        """Returns what a row's search found in a set with the weights of an epoch."""
        return self.run(row).decoded_set(search_at(search, epoch), set_name)

    @property
    def cluster(self) -> Path:
        """Folder of what is kept of jobs on a cluster."""
        return self.path / "cluster"

    @property
    def section(self) -> Path:
        """The results in Markdown."""
        return self.path / "ablation.md"

    @property
    def page(self) -> Path:
        """The results as a page for browsers."""
        return self.path / "ablation.html"

    @property
    def forest(self) -> Path:
        """The plot of differences to the base."""
        return self.path / "forest.png"


def search_at(search: str, epoch: int) -> str:
    """Returns what the results of a search with the weights of an epoch are called in a run."""
    return f"{search}-epoch{epoch}"
