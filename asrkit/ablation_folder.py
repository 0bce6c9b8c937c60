"""The paths in the folder of a study, or of a sweep: the only place that knows its file names.

OUT/NAME-SEED/         run folder of a row: a variant trained with a seed; `base` for the base
OUT/logs/NAME-SEED.log what a row's process said
OUT/cluster/           what is kept of jobs on a cluster
OUT/trials/NAME.yaml   the variant of a trial of a sweep
OUT/ablation.md        the results, for RESULTS.md; sweep.md those of a sweep
OUT/ablation.html      the same as one page that needs no other file; sweep.html
OUT/forest.png         differences to the base with their intervals
OUT/trials.png         scores of the trials of a sweep
OUT/commands.txt       the commands that were given
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.run_folder import DecodedSet, RunFolder

ABLATION, SWEEP = "ablation", "sweep"
"""What reports are called."""


@dataclass(frozen=True)
class AblationFolder:
    """The paths in the folder of an ablation study.

    Args:
        path: The folder.
        report: What its report is called: "ablation" or "sweep".
    """

    path: Path
    report: str = ABLATION

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
        return self.path / f"{self.report}.md"

    @property
    def page(self) -> Path:
        """The results as a page for browsers."""
        return self.path / f"{self.report}.html"

    @property
    def forest(self) -> Path:
        """The plot of differences to the base."""
        return self.path / "forest.png"

    @property
    def trials(self) -> Path:
        """Folder of the variants that a sweep tries."""
        return self.path / "trials"

    @property
    def trials_plot(self) -> Path:
        """The plot of a sweep's trials."""
        return self.path / "trials.png"


def reported_study(path: Path) -> AblationFolder | None:
    """Returns the paths in a folder whose study was reported; None for any other folder."""
    found = [AblationFolder(path, report) for report in (ABLATION, SWEEP)]
    return next((folder for folder in found if folder.section.is_file()), None)


def search_at(search: str, epoch: int) -> str:
    """Returns what the results of a search with the weights of an epoch are called in a run."""
    return f"{search}-epoch{epoch}"
