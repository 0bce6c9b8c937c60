"""Words and phrases that native speakers would not use do not come back into code and documents."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ["asrkit", "docs", "recipes", "tools"]
PHRASES = {
    r"\banew\b": "again, or from scratch",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bbeside\b": "next to, with, or in addition to",
    r"\b(goes|go|going) on (from|with|where|after)\b": "continues",
    r"(?<!there )\bis no (key|name|number|share|run folder|UTF-8|checkpoint)\b": "is not a ...",
    r"\breference systems?\b": "a paper, or owner/repository and path",
    r"\bfor whose\b": "another order of words",
    r"\bno accident\b": "not an accident",
}


def texts() -> list[Path]:
    """Returns what users and developers read, without generated results."""
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    wanted = [path for path in files if path.suffix in {".py", ".sh", ".md", ".yaml"}]
    inside = [path for path in wanted if not {"toy", "run", "data"} & set(_folders(path))]
    return [*inside, *ROOT.glob("*.md")]


def _folders(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).parts
    return parts[2:-1] if parts[0] == "recipes" else ()


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases_that_native_speakers_avoid(phrase: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(phrase, line)
    ]
    assert not found, f"better: {PHRASES[phrase]}\n" + "\n".join(found)
