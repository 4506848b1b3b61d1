"""Finds plugins, loads the trusted ones, and keeps what they add under unique names."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import Final, TypeAlias

import pluggy

from calotype.digest import code_of
from calotype.errors import SetupError
from calotype.plugins import hookspecs
from calotype.postprocess import PostProcessor
from calotype.review import Reviewer, Reviews
from calotype.sampling import Params, Sampler, Schedule

GROUP: Final = "calotype.plugins"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
_KINDS: Final[Mapping[str, type]] = MappingProxyType(
    {"calotype_samplers": Sampler, "calotype_schedules": Schedule, "calotype_postprocessors": PostProcessor}
)
_REVIEWS: Final = ("calotype_review_prompt", "calotype_review_picture")

Contribution: TypeAlias = Sampler | Schedule | PostProcessor
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was found, whether it is on, and if not why."""

    name: str
    version: str
    bundled: bool
    on: bool
    problem: str | None = None
    adds: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    """What it looks at before it is taken or given out: ``prompts``, ``pictures``."""
    distribution: str = "unknown"
    """The installed package that it came with."""
    sha256: str | None = None
    """Of the files of its code, if it is on."""


class _Refused(Exception):
    """A plugin's own fault, in one line."""


class Registry:
    """What the loaded plugins offer. Made once at start, then only read."""

    def __init__(self) -> None:
        self.samplers: dict[str, Sampler] = {}
        self.schedules: dict[str, Schedule] = {}
        self.postprocessors: dict[str, PostProcessor] = {}
        self.aliases: dict[str, str] = {}
        """Another name of a sampler or schedule → its own. A name that is borne goes before an alias of it."""
        self.reviews = Reviews()
        self.plugins: list[PluginInfo] = []
        self._owner: dict[str, str] = {}

    @classmethod
    def discover(cls, listed: Collection[str] = (), *, public: bool = False) -> Registry:
        """Load every bundled plugin, and those of others that the operator ``listed`` by entry-point name.

        A plugin that cannot be loaded is kept as a :class:`PluginInfo` with its problem and does not stop the
        start. A listed name that is not installed raises :class:`SetupError`: the operator asked for it. In ``public``
        mode so does a listed one that cannot be loaded, which may have been a review, and reviews fail closed.
        """
        registry = cls()
        registry.reviews = Reviews(fail_closed=public)
        found = sorted(entry_points(group=GROUP), key=lambda entry: (not _bundled(entry), entry.name))
        missing = sorted(set(listed) - {entry.name for entry in found})
        if missing:
            known = ", ".join(entry.name for entry in found if not _bundled(entry)) or "none"
            raise SetupError(f"CALOTYPE_PLUGINS: {', '.join(missing)} is not installed; installed plugins: {known}")
        for entry in found:
            if _bundled(entry) or entry.name in listed:
                registry._load(entry)
            else:
                reason = "not listed in CALOTYPE_PLUGINS"
                registry.plugins.append(PluginInfo(entry.name, _version(entry), False, False, reason))
        broken = [info for info in registry.plugins if info.name in listed and not info.on]
        if public and broken:
            raise SetupError(
                f"CALOTYPE_PLUGINS: {broken[0].name} cannot be loaded: {broken[0].problem}; it may have been a review,"
                " so in public mode nothing starts without it: mend it or leave it out"
            )
        return registry

    def name_of(self, name: str) -> str:
        """The own name of a sampler or schedule that was asked for by an alias; any other name as it is."""
        return name if name in self._owner else self.aliases.get(name, name)

    def params_of(self, name: str) -> type[Params] | None:
        """The parameter model of whatever is called ``name``; None if nothing is."""
        found = self.samplers.get(name) or self.schedules.get(name) or self.postprocessors.get(name)
        return found.Params if found else None

    def _load(self, entry: EntryPoint) -> None:
        try:
            module = entry.load()
            things, reviewer = _contributions(entry.name, module)
            adds = self._add(entry.name, things)
        except (Exception, SystemExit) as error:
            problem = str(error) if isinstance(error, _Refused) else f"{type(error).__name__}: {error}"
            log.warning(
                "plugin %s is off: %s", entry.name, problem, exc_info=not isinstance(error, _Refused | ImportError)
            )
            self.plugins.append(PluginInfo(entry.name, _version(entry), _bundled(entry), False, problem))
        else:
            if reviewer.hooks:
                self.reviews = replace(self.reviews, reviewers=(*self.reviews.reviewers, reviewer))
            came_with = entry.dist.name if entry.dist is not None else "unknown"
            self.plugins.append(
                PluginInfo(
                    entry.name,
                    _version(entry),
                    _bundled(entry),
                    True,
                    None,
                    adds,
                    reviewer.hooks,
                    came_with,
                    code_of(module),
                )
            )

    def _add(self, plugin: str, things: Iterable[Contribution]) -> tuple[str, ...]:
        things = list(things)
        names = [thing.name for thing in things]
        for name in names:
            if name in self._owner or names.count(name) > 1:
                raise _Refused(f"{name!r} is claimed by both {self._owner.get(name, plugin)} and {plugin}")
        for thing in things:  # only now: a plugin is taken whole or not at all
            self._owner[thing.name] = plugin
            if isinstance(thing, Sampler):
                self.samplers[thing.name] = thing
            elif isinstance(thing, Schedule):
                self.schedules[thing.name] = thing
            else:
                self.postprocessors[thing.name] = thing
            for alias in _aliases(thing):
                self.aliases.setdefault(alias, thing.name)
        return tuple(names)


def reviewer_of(plugin: str, module: ModuleType) -> Reviewer:
    """The reviews of a plugin's module. Raises :class:`SetupError` if it is no plugin."""
    try:
        return _contributions(plugin, module)[1]
    except _Refused as refused:
        raise SetupError(f"{plugin}: {refused}") from None


def _contributions(plugin: str, module: ModuleType) -> tuple[list[Contribution], Reviewer]:
    """Ask one module its hooks, through pluggy, so that a wrong signature is found at start and not in use."""
    manager = pluggy.PluginManager("calotype")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        what = " ".join(str(error).split())
        raise _Refused(f"{what} (the hooks are {', '.join([*_KINDS, *_REVIEWS])}; the first three take none)") from None
    answered = {hook: answer for hook in _KINDS for answer in getattr(manager.hook, hook)()}
    reviewer = _reviewer_of(plugin, manager)
    for hook, answer in answered.items():
        if not isinstance(answer, Iterable):
            raise _Refused(f"{hook}() returned {type(answer).__name__}; it must return a list of instances")
    things = [_checked(thing, hook, _KINDS[hook]) for hook, answer in answered.items() for thing in answer]
    if not things and not reviewer.hooks:
        empty = " and ".join(f"{hook}() returned an empty list" for hook in answered)
        raise _Refused(f"it adds nothing: {empty or 'no hook is implemented (is @calotype.hookimpl missing?)'}")
    return things, reviewer


def _reviewer_of(plugin: str, manager: pluggy.PluginManager) -> Reviewer:
    """Its reviews, to be called by position. pluggy hands a hook those arguments that it takes."""
    prompt, picture = (getattr(manager.hook, name) for name in _REVIEWS)
    return Reviewer(
        plugin,
        (lambda request, person: prompt(request=request, person=person)) if prompt.get_hookimpls() else None,
        (lambda image, info: picture(image=image, info=info)) if picture.get_hookimpls() else None,
    )


def _checked(thing: object, hook: str, kind: type) -> Contribution:
    if not isinstance(thing, kind):
        raise _Refused(f"{hook} returned {type(thing).__name__}, not an instance of calotype.{kind.__name__}")
    assert isinstance(thing, Sampler | Schedule | PostProcessor)
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _Refused(f"name: {name!r} is not a lower-case word of letters, digits and _, 40 at most")
    if not isinstance(getattr(thing, "label", None), str):
        raise _Refused(f"{name}: label is missing")
    if not isinstance(thing, PostProcessor) and isinstance(thing.aliases, str):
        raise _Refused(f"{name}: aliases is a text; it must be a tuple of them")
    bad = [alias for alias in _aliases(thing) if not isinstance(alias, str) or not _ALIAS.fullmatch(alias)]
    if bad:
        raise _Refused(f"{name}: alias {bad[0]!r} is not a word of letters, digits and _, 60 at most")
    if not issubclass(thing.Params, Params):
        raise _Refused(f"{name}: Params is not a subclass of calotype.Params")
    try:
        thing.Params()
    except ValueError as error:
        raise _Refused(f"{name}: every parameter needs a default ({error})") from None
    return thing


def _aliases(thing: Contribution) -> tuple[str, ...]:
    return () if isinstance(thing, PostProcessor) else tuple(thing.aliases)


def _bundled(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == "calotype"


def _version(entry: EntryPoint) -> str:
    return entry.dist.version if entry.dist is not None else "unknown"
