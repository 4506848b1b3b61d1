"""``calotype plugins``: what is installed and whether it is on; and whether it keeps its contract."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from calotype.plugins.registry import Contribution, PluginInfo, Registry
    from calotype.plugins.testing import Check

KINDS: Final = ("sampler", "schedule", "post-processor")
Things: TypeAlias = "list[tuple[str, Contribution]]"
"""What a plugin adds, each with its kind."""

plugins_app = typer.Typer(help="Look at plugins and check them.", rich_markup_mode=None)


@plugins_app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array and nothing else.")] = False,
) -> int:
    """List the plugins that are installed: what they add, on or off, and why."""
    from calotype import logs

    logs.set_up("ERROR")  # the reasons stand in the table
    registry, rows = _listed()
    if as_json:
        typer.echo(json.dumps([_row(registry, info) for info in rows]))
        return 0
    from rich.console import Console

    Console().print(_table(registry, rows))
    return 0


@plugins_app.command("check")
def check(
    name: Annotated[str, typer.Argument(help="A plugin, or a sampler, schedule or post-processor, by name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Check a plugin against its contract, listed in CALOTYPE_PLUGINS or not; exit code 1 if a check fails."""
    from calotype import logs

    logs.set_up("WARNING")  # with the traceback of a plugin that cannot be imported
    found = _find(name)
    findings: list[dict[str, object]] = []
    if not as_json:
        typer.echo(f"plugin {found.info.name} {found.info.version}")
    for about, checks in _checked(found):
        findings += [{"of": about, **asdict(each)} for each in checks]
        if not as_json:
            typer.echo("\n".join([about, *(f"  {each}" for each in checks)]))
    ok = all(each["ok"] for each in findings)
    if as_json:
        typer.echo(json.dumps({"plugin": found.info.name, "version": found.info.version, "ok": ok, "checks": findings}))
    elif not ok:
        typer.echo(f"{sum(not each['ok'] for each in findings)} of {len(findings)} checks failed", err=True)
    return 0 if ok else 1


@dataclass(frozen=True)
class _Found:
    """A plugin by the name that was asked for. ``things`` is what is to be checked of it."""

    info: PluginInfo
    things: Things


def _listed() -> tuple[Registry, list[PluginInfo]]:
    """Everything installed, loaded as a start would, and a row for what is listed in vain (which stops a start)."""
    from calotype.config import Settings
    from calotype.plugins.registry import PluginInfo, Registry

    listed = Settings.load().plugins
    installed = {info.name for info in Registry.discover().plugins}
    registry = Registry.discover([name for name in listed if name in installed])
    reason = "CALOTYPE_PLUGINS names it, but it is not installed: Calotype does not start"
    ghosts = [PluginInfo(name, "–", False, False, reason) for name in sorted({*listed} - installed)]
    return registry, [*registry.plugins, *ghosts]


def _things(registry: Registry, info: PluginInfo) -> Things:
    tables: list[Mapping[str, Contribution]] = [registry.samplers, registry.schedules, registry.postprocessors]
    known = {name: (kind, thing) for kind, table in zip(KINDS, tables, strict=True) for name, thing in table.items()}
    return [known[name] for name in info.adds]


def _row(registry: Registry, info: PluginInfo) -> dict[str, object]:
    adds = [{"kind": kind, "name": thing.name, "label": thing.label} for kind, thing in _things(registry, info)]
    return {**asdict(info), "adds": adds}


def _table(registry: Registry, rows: Iterable[PluginInfo]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("plugin", "version", "adds", "state"):
        table.add_column(column, overflow="fold")
    for info in rows:
        reviews = [f"review of {what}" for what in info.reviews]
        adds = "\n".join([*(f"{kind} {thing.name}" for kind, thing in _things(registry, info)), *reviews])
        state = ("on, bundled" if info.bundled else "on") if info.on else f"off: {info.problem}"
        # Text, since a reason may hold square brackets, which would be read as markup
        table.add_row(*(Text(cell) for cell in (info.name, info.version, adds or "–", state)))
    return table


def _find(name: str) -> _Found:
    """The plugin, or the plugin of the thing, that is called ``name``. Raises :class:`BadRequest`.

    A plugin's name loads that plugin beside those that are on. Any other name is looked for in what is on, then in
    everything that is installed.
    """
    from calotype.errors import BadRequest
    from calotype.plugins.registry import Registry

    registry, rows = _listed()
    installed = {info.name for info in registry.plugins}
    on = {info.name for info in registry.plugins if info.on and not info.bundled}
    if name in installed:
        registry = Registry.discover({*on, name})
        info = next(info for info in registry.plugins if info.name == name)
        return _Found(info, _things(registry, info))
    for listed in (on, {info.name for info in rows if info.name in installed}):
        registry = Registry.discover(listed)
        for info in registry.plugins:
            if name in info.adds:
                return _Found(info, [pair for pair in _things(registry, info) if pair[1].name == name])
    known = sorted(installed.union(*(info.adds for info in registry.plugins)))
    raise BadRequest.of("name", f"{name[:60]!r} is not one of {', '.join(known)}")


def _checked(found: _Found) -> Iterator[tuple[str, list[Check]]]:
    """What is checked, and the findings; one after the other, so that a person sees it go on."""
    from calotype.plugins import testing
    from calotype.plugins.registry import GROUP
    from calotype.postprocess import PostProcessor
    from calotype.sampling import Sampler

    if not found.info.on:
        yield "module", [testing.Check("load", False, found.info.problem or "it cannot be loaded")]
        return
    (entry, *_) = entry_points(group=GROUP, name=found.info.name)
    yield "module", testing.check_import(entry.module)
    if found.info.reviews and len(found.things) == len(found.info.adds):  # else one thing was asked for by its name
        yield "reviews", testing.check_reviews(entry.load())
    for kind, thing in found.things:
        if isinstance(thing, Sampler):
            checks = testing.check_sampler(thing)
        elif isinstance(thing, PostProcessor):
            checks = testing.check_postprocessor(thing)
        else:
            checks = testing.check_schedule(thing)
        yield f"{kind} {thing.name}", checks
