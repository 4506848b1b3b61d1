"""Every hook a plugin can answer. A plugin is a module; it answers with ``@calotype.hookimpl`` functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from calotype.postprocess import PostProcessor
    from calotype.sampling import Sampler, Schedule

hookspec = pluggy.HookspecMarker("calotype")
hookimpl = pluggy.HookimplMarker("calotype")


@hookspec
def calotype_samplers() -> Iterable[Sampler]:
    """Samplers this plugin adds. Called once at start; must be quick and must not import torch."""
    raise NotImplementedError


@hookspec
def calotype_schedules() -> Iterable[Schedule]:
    """Schedules this plugin adds. Called once at start; must be quick and must not import torch."""
    raise NotImplementedError


@hookspec
def calotype_postprocessors() -> Iterable[PostProcessor]:
    """Post-processors this plugin adds. Called once at start; must be quick and must not import torch."""
    raise NotImplementedError
