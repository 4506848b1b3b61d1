"""What many tests share: the real registry, the real catalog, a tiny real checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from calotype import logs
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.plugins.registry import Registry

# no test may depend on how busy the machine is
hypothesis_settings.register_profile("calotype", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("calotype")


@pytest.fixture(autouse=True)
def _levels_of_the_log_as_they_were() -> Iterator[None]:
    """A command sets them up for its process, which here is everybody's."""
    loggers = [logging.getLogger(name) for name in (None, *logs._OWN)]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
    root = loggers[0]
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, logs._Stderr)]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture(scope="session")
def tiny_sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from checkpoints import make_sd1

    return make_sd1(tmp_path_factory.mktemp("models") / "tiny-sd1")


@pytest.fixture
def catalog(registry: Registry) -> Catalog:
    return Catalog(registry, [inspect(EMBEDDED)])
