"""Settings of all tests: a busy machine is not an error, Ctrl-C is never ignored, plugins end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from asrkit.config.registry import all_registries, import_all

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Programs in the background of a shell ignore it, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def plugins_forgotten(folder: Path) -> Iterator[None]:
    """Takes back what plugins below a folder register: it would show in other tests."""
    entries = {registry: dict(registry.entries) for registry in all_registries()}
    paths, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(folder):
            del sys.modules[name]
    for registry in all_registries():
        registry.entries = entries.get(registry, registry.entries)


@pytest.fixture(scope="session", autouse=True)
def registered() -> None:
    """Registers all of asrkit's own parts before the first test."""
    import_all()


@pytest.fixture(scope="module", autouse=True)
def _plugins_of_a_module(
    registered: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    with plugins_forgotten(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(autouse=True)
def _plugins_of_a_test(
    registered: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    with plugins_forgotten(tmp_path_factory.getbasetemp()):
        yield
