"""What search.json of a decoded set says, whichever version wrote it, and from whichever spec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asrkit.config.build import filled
from asrkit.config.problems import Problem, SpecError
from asrkit.config.registry import import_all
from asrkit.run_files import REMEDIES, SearchNote, read_run_file
from asrkit.search.search import Search


def read_note(path: Path) -> SearchNote:
    """Returns how a set was decoded; every default of its search is written out.

    Args:
        path: The file.

    Raises:
        UserError: If it is missing or has other content.
        SpecError: If the search has a part that is unknown here, such as one of a plugin.
    """
    return with_defaults(read_run_file(path, SearchNote), path)


def with_defaults(note: SearchNote, path: Path) -> SearchNote:
    """Returns a note whose search has every default written out.

    Args:
        note: As it was written.
        path: Its file, for messages.

    Raises:
        SpecError: If the search has a part that is unknown here.
    """
    import_all()
    try:
        return replace(note, search=filled(Search, note.search, "search"))
    except SpecError as error:
        first = error.problems[0]
        told = f"{first.message}; {REMEDIES[SearchNote]}"
        raise SpecError([Problem(first.path, told, str(path))]) from None
