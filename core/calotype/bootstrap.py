"""The one place where the service is put together."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.config import Settings
from calotype.disk import Disk
from calotype.engine.assignment import Host, HostListener
from calotype.errors import CalotypeError, SetupError
from calotype.home import Home
from calotype.leader import Chore, Leader
from calotype.loras import Loras
from calotype.model_list import ModelList
from calotype.moderation.prompts import PromptReview
from calotype.plugins.registry import Registry
from calotype.review import Reviews
from calotype.studio import Studio
from calotype.turns import Turns
from calotype.work import Work

if TYPE_CHECKING:
    from calotype.chores import Chores
    from calotype.dispatch import Dispatcher
    from calotype.dispatch.recording import Screen
    from calotype.engine.host import InProcessHost
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger
    from calotype.moderation.desk import Moderation
    from calotype.moderation.office import Office
    from calotype.relay import Relay

log = logging.getLogger(__name__)


def catalog_for(settings: Settings) -> Catalog:
    """What can be asked for under these settings. No torch. Raises :class:`SetupError` or :class:`ModelError`."""
    registry = Registry.discover(settings.plugins, public=settings.public)
    models = [inspect(settings.model)] if settings.model is not None else []
    home = Home.of(settings)
    catalog = Catalog(registry, [*models, inspect(EMBEDDED)], Loras(home.loras))
    added = ModelList(home.model_list)
    for each in added.all():
        try:
            catalog.add_model(each.inspect())
        except CalotypeError as error:  # it was fine once; the service goes on without it
            log.warning("a model that was added before is left out: %s", error)
    default = added.default
    if settings.model is None and default is not None and default in catalog.models:
        catalog.default_model = default
    return catalog


def open_host(settings: Settings, listener: HostListener, threads: int) -> InProcessHost:
    """An engine in this process; it loads models as jobs need them. Raises :class:`SetupError`."""
    from calotype.engine.host import InProcessHost  # torch is imported here and nowhere earlier

    return InProcessHost(
        listener,
        device=settings.device,
        threads=threads,
        slots=settings.slots,
        plugin_seconds=settings.plugin_seconds,
        postprocess_seconds=settings.postprocess_seconds,
        model_memory=None if settings.model_memory is None else settings.model_memory * 10**6,
    )


@asynccontextmanager
async def open_service(
    settings: Settings, home: Home, catalog: Catalog, *, only_own: bool = False, engine: bool = True
) -> AsyncIterator[Studio]:
    """The running service on a home that this process owns (:meth:`Home.acquire`), or shares where others do the rest.

    The engine loads in the background; jobs are accepted at once and wait for it. On exit running jobs get
    ``settings.drain_seconds`` to end, then go back into the queue. The home stays acquired. With ``only_own`` no jobs
    are run but those that this studio submits: the others wait for a server, which may have other models and plugins.
    Without an ``engine`` other processes run the jobs, and torch is not imported here; that needs PostgreSQL.
    """
    from calotype.chores import Chores
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger
    from calotype.ledger.migrate import upgrade

    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    await asyncio.to_thread(upgrade, url, home.backups)
    async with AsyncExitStack() as stack:
        ledger, store, bus = Ledger(url, settings.limits), ImageStore(home.images), _bus(settings, catalog)
        stack.callback(ledger.close)
        await asyncio.to_thread(ledger.people.apply_roles)
        folders = [store.folder] if ledger.shared else [store.folder, home.folder]
        disk = Disk(folders, settings.disk_free_gb)
        moderation = moderation_for(settings, home, ledger, catalog.registry.reviews)
        dispatcher = (
            _dispatcher(settings, home, catalog, ledger, store, bus, moderation.screen, disk, only_own)
            if engine
            else None
        )
        relay = await asyncio.to_thread(_begin, settings, ledger, store, bus, engine)
        work = await stack.enter_async_context(_at_work(ledger, bus, dispatcher, relay, disk, settings.drain_seconds))
        turns = Turns(None if relay is None else relay.session)
        studio = Studio(ledger, store, catalog, bus, work, moderation, added=ModelList(home.model_list), turns=turns)
        if not only_own:  # a command that is over in a moment does not take the chores from a server
            chores = Chores(ledger, store, retention_days=settings.retention_days, retention_gb=settings.retention_gb)
            duties = _chores(settings, ledger, relay, bus, chores, work, studio)
            await stack.enter_async_context(_leading(Leader(ledger, None if relay is None else relay.session, duties)))
            stack.callback(chores.stop)
        yield studio


def _dispatcher(
    settings: Settings,
    home: Home,
    catalog: Catalog,
    ledger: Ledger,
    store: ImageStore,
    bus: Bus,
    screen: Screen,
    disk: Disk,
    only_own: bool,
) -> Dispatcher:
    from calotype.dispatch import Dispatcher

    threads = home.threads(settings.threads)

    def make_host(listener: HostListener) -> Host:
        host = open_host(settings, listener, threads)
        try:
            host.preload(catalog.models[catalog.default_model])
        except BaseException:
            host.close()
            raise
        # what is here now stays: nobody need search through it for garbage. Half a million objects hold up every thread
        # for a third of a second, once a second when many watch (python benchmarks/watchers.py)
        gc.collect()
        gc.freeze()
        return host

    return Dispatcher(
        ledger,
        store,
        catalog,
        bus,
        make_host,
        screen,
        slots=settings.slots,
        residents=settings.residents,
        attempts=settings.attempts,
        only_own=only_own,
        held=disk.short,
        recall=lambda: _recall(home, catalog),
    )


def _recall(home: Home, catalog: Catalog) -> bool:
    """Offer what other processes on this home were offered since; whether there is anything new."""
    known = {model.folder for model in catalog.models.values()}
    before = len(catalog.models)
    for each in ModelList(home.model_list).all():
        if each.folder.resolve() not in known:
            try:
                catalog.add_model(each.inspect())
            except CalotypeError as error:
                log.warning("a model that was offered elsewhere is left out: %s", error)
    return len(catalog.models) > before


def _begin(settings: Settings, ledger: Ledger, store: ImageStore, bus: Bus, engine: bool) -> Relay | None:
    """The way to the other processes; or, where there can be none, what an earlier one left is put right."""
    if ledger.shared:
        from calotype.joining import join

        return join(ledger, store, bus, lease=settings.lease_seconds, engine=engine)
    requeued, dead = ledger.recover(settings.attempts)
    if requeued or dead:
        log.info("after an unclean end: back in the queue: %d, given up: %d", len(requeued), len(dead))
    return None


@asynccontextmanager
async def _at_work(
    ledger: Ledger, bus: Bus, dispatcher: Dispatcher | None, relay: Relay | None, disk: Disk, drain: float
) -> AsyncIterator[Work]:
    """The dispatcher at work, here or elsewhere; on exit what runs here gets ``drain`` seconds to end."""
    from calotype.dispatch.positions import Positions
    from calotype.dispatch.shared import SharedWork

    positions = Positions(ledger, bus) if dispatcher is None else dispatcher.positions
    work: Work
    if relay is None:
        if dispatcher is None:
            raise SetupError("only: without an engine here others must make the pictures; that needs PostgreSQL")
        work = dispatcher
    else:
        relay.local, relay.queue_changed = dispatcher, positions.changed
        work = SharedWork(ledger, relay, positions, dispatcher, disk.short)
        relay.start()
    running = asyncio.create_task(positions.run() if dispatcher is None else dispatcher.run(), name="dispatcher")
    try:
        yield work
    finally:
        try:
            await work.stop(drain)
            if dispatcher is None:
                running.cancel()
            await asyncio.wait({running})
        finally:
            if relay is not None:
                await asyncio.to_thread(relay.stop)
            gc.unfreeze()


def _chores(
    settings: Settings, ledger: Ledger, relay: Relay | None, bus: Bus, chores: Chores, work: Work, studio: Studio
) -> list[Chore]:
    """What whoever leads has to do. ``studio`` submits scheduled prompts."""
    hour, minute, second = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
    duties = [Chore("retention", chores.retention, hour, first_after=timedelta(seconds=30))]
    if relay is not None:
        from calotype.takeover import Takeover

        takeover = Takeover(ledger, relay.session, bus, work.submitted, settings.attempts)
        duties += [
            Chore("leases", takeover, second, once=False),
            Chore("steps", ledger.steps.sweep, minute, once=False),
        ]
    loop, timetable = asyncio.get_running_loop(), studio.timetable
    duties.append(
        Chore(
            "prompts",
            lambda: asyncio.run_coroutine_threadsafe(timetable.submit_due(), loop).result(),
            5 * second,
            once=False,
        )
    )
    return duties


@asynccontextmanager
async def _leading(leader: Leader) -> AsyncIterator[None]:
    leader.start()
    try:
        yield
    finally:
        await asyncio.to_thread(leader.stop)  # a chore at work may need this event loop


@asynccontextmanager
async def open_office(settings: Settings, home: Home) -> AsyncIterator[Office]:
    """The operator's side of moderation without an engine, on a home that this process owns."""
    from calotype.images.store import ImageStore
    from calotype.ledger import open_ledger
    from calotype.moderation.office import Office

    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    ledger = await asyncio.to_thread(open_ledger, url, home.backups)
    try:
        yield Office(ledger, ImageStore(home.images))
    finally:
        ledger.close()


def moderation_for(settings: Settings, home: Home, ledger: Ledger, reviews: Reviews) -> Moderation:
    """What is allowed under these settings. Raises :class:`SetupError` for a word list that cannot be read."""
    from calotype.moderation.desk import Limits, Moderation

    words = PromptReview.load(home.blocked_words, use_bundled=settings.bundled_words)
    if settings.public and not any(True for _ in reviews.of_pictures()):
        log.warning("public, and no plugin reviews pictures: only words and blocked pictures are looked at")
    return Moderation(ledger.blocked, words, reviews, Limits(settings.plugin_seconds, settings.postprocess_seconds))


def _bus(settings: Settings, catalog: Catalog) -> Bus:
    unreviewed = settings.public and any(True for _ in catalog.registry.reviews.of_pictures())
    return Bus(previews=not unreviewed if settings.previews == "auto" else settings.previews == "on")
