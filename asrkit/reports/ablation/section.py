"""The section of RESULTS.md that a study has written."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

from asrkit.ablation_folder import reported_study
from asrkit.files import copy_file, read_lines
from asrkit.reports.results_file import notes_on

PICTURE = re.compile(r"(?<=\]\()([^()/]+\.png)(?=\)$)", flags=re.M)
"""A file next to the section, as its pictures name it."""


def study_section(study: Path, out: Path) -> str:
    """Returns the section that a study has written, for a file of results elsewhere, with notes.

    Args:
        study: Its folder.
        out: The Markdown file; plots go to a folder `results` next to it.
    """
    folder = reported_study(study)
    assert folder is not None, "asked only of studies"
    heading, *lines = read_lines(folder.section)
    notes = notes_on(study.name, out)
    text = "\n".join([heading, *(["", notes.rstrip("\n")] if notes else []), *lines]) + "\n"
    for name in PICTURE.findall(text):
        picture = folder.path / unquote(name)
        copied = out.parent / "results" / f"{study.name}-{picture.name}"
        copied.parent.mkdir(parents=True, exist_ok=True)
        copy_file(picture, copied)
        text = text.replace(f"]({name})", f"]({quote(f'results/{copied.name}')})")
    return text
