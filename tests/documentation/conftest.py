"""A small project that the tests of documentation share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.documentation import small_project


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that documented commands name."""
    folder = tmp_path_factory.mktemp("small")
    before = Path.cwd()
    os.chdir(folder)
    try:
        small_project.make(folder)
    finally:
        os.chdir(before)
    return folder
