"""In any locale text is UTF-8: manifests, names of files, what is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "grün–é"
PROGRAM = f"""
import sys
from pathlib import Path
from asrkit.utf8 import use_utf8
if __name__ == "__main__":
    use_utf8()
    found = [path.name for path in Path(".").glob("gr*")]
    print(Path(sys.argv[1]).read_text(), sys.argv[1], {NAME!r}, *found)
    print({NAME!r}, file=sys.stderr)
"""
PLAIN = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def latin1(folder: Path) -> dict[str, str]:
    """Returns the environment of a locale in ISO-8859-1, which is made in a folder."""
    place = folder / "de_DE.ISO-8859-1"
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(place)]
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("localedef can't make the locale")
    return {"LOCPATH": str(folder), "LC_ALL": place.name, "LANG": place.name}


@pytest.mark.parametrize("where", ["C", "latin1", "output"])
def test_names_files_and_output_are_utf8_in_every_locale(tmp_path: Path, where: str) -> None:
    environment = PLAIN if where == "C" else {"PYTHONIOENCODING": "latin-1"}
    if where == "latin1":
        environment = latin1(tmp_path)
    (tmp_path / NAME).write_text("weiß", encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py", NAME],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.stderr.decode() == f"{NAME}\n"
    assert done.stdout.decode() == f"weiß {NAME} {NAME} {NAME}\n"
