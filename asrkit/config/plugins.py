"""Modules of a user that register more names: where they are found, and what runs keep of them.

`plugins: [my_module]` means my_module.py next to the spec file, or else a module that Python
finds. A run folder keeps a copy of each such file, which is then the one next to the run's
spec, so that whoever decodes the run finds it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from asrkit.config.yaml_loader import Spec, files_of
from asrkit.errors import UserError
from asrkit.files import copy_file

log = logging.getLogger(__name__)


def plugins_of(spec: Spec) -> list[str]:
    """Returns the modules that a spec names; checking the spec reports invalid names."""
    found = spec.tree.get("plugins") if isinstance(spec.tree, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def import_plugins(spec: Spec, path: Path) -> None:
    """Imports the modules that a spec names.

    Args:
        spec: The loaded spec.
        path: Its file.

    Raises:
        UserError: If one is not found, or fails.
    """
    folders = list(dict.fromkeys(file.parent for file in files_of(path)))
    where = spec.source("plugins[0]") or spec.source("plugins") or str(path)
    for name in plugins_of(spec):
        import_plugin(name, f"{where}: plugins", folders)


def plugin_files(path: Path) -> list[Path]:
    """Returns the files of plugins next to a spec file or the files it extends."""
    from asrkit.config.yaml_loader import load

    folders = dict.fromkeys(file.parent for file in files_of(path))
    found = [_beside(name, list(folders)) for name in plugins_of(load(path))]
    return [file for file in found if file is not None]


def import_plugin(name: str, where: str, folders: Sequence[Path] = ()) -> None:
    """Imports a user's module, which registers more names.

    Args:
        name: Of the module.
        where: What names it, for the message.
        folders: Where its file may be, before Python looks for it.

    Raises:
        UserError: If it is not found, or fails.
    """
    file = _beside(name, folders)
    try:
        if file is None:
            importlib.import_module(name)
        else:
            _import_file(name, file)
    except (Exception, SystemExit) as error:  # whatever a user's code may raise
        raise UserError(f"{where}: can't import {name!r}: {_told(error, name, folders)}") from error


def keep_plugins(names: Sequence[str], folder: Path, renew: bool = True) -> None:
    """Copies the files of imported plugins into a run folder, where its spec finds them.

    Args:
        names: Of the modules.
        folder: Of the run.
        renew: Whether copies of other content are replaced: the run continues with the new one.
    """
    for name in names:
        file = _file_of(sys.modules.get(name))
        if file is None or "." in name or file.name == "__init__.py":
            log.warning(
                "plugin %s is not a single file: whoever uses %s must have it", name, folder
            )
            continue
        copy = folder / f"{name}.py"
        if copy.is_file() and copy.samefile(file):
            continue
        if copy.is_file() and _digest(copy) != _digest(file):
            log.warning("plugin %s has changed since the run was trained: %s", name, copy)
            if not renew:
                continue
        copy_file(file, copy)


def _beside(name: str, folders: Sequence[Path]) -> Path | None:
    places = (folder / Path(*name.split(".")).with_suffix(".py") for folder in folders)
    return next((place for place in places if place.is_file()), None)


def _import_file(name: str, file: Path) -> None:
    known = sys.modules.get(name)
    if known is not None:
        there = _file_of(known)
        if there is None or _digest(there) != _digest(file):
            log.warning("plugin %s: %s is used, which differs from %s", name, there or known, file)
        return
    folder = str(file.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # for other modules next to it, after all that Python finds itself
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _file_of(module: ModuleType | None) -> Path | None:
    found = getattr(module, "__file__", None)
    return Path(found) if found and Path(found).is_file() else None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _told(error: BaseException, name: str, folders: Sequence[Path]) -> str:
    """Returns why an import failed, with file and line."""
    if isinstance(error, ModuleNotFoundError) and error.name == name.split(".")[0]:
        there = " or ".join(map(str, folders)) or "."
        return f"there is no {name}.py in {there}, and Python finds no such module (PYTHONPATH)"
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    own = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    return f"{said} ({own[-1].filename}:{own[-1].lineno})" if own else said
