"""What many tests share: the real registry, the real catalog, a tiny real checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.plugins.registry import Registry

# no test may depend on how busy the machine is
hypothesis_settings.register_profile("calotype", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("calotype")


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
