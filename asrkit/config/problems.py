"""What is wrong with a spec, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrkit.errors import UserError


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: where, and what."""

    path: str
    message: str
    location: str | None = None

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        return f"{place}{self.path or 'the spec'}: {self.message}"


class SpecError(UserError):
    """All problems of a spec, one per line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)
