"""The one place where the service is put together."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.config import Settings
from calotype.engine.assignment import Host, HostListener
from calotype.errors import CalotypeError
from calotype.home import Home
from calotype.moderation.prompts import PromptReview
from calotype.plugins.registry import Registry
from calotype.review import Reviews
from calotype.studio import Studio

if TYPE_CHECKING:
    from calotype.ledger import Ledger
    from calotype.moderation.desk import Moderation
    from calotype.moderation.office import Office

log = logging.getLogger(__name__)


def catalog_for(settings: Settings) -> Catalog:
    """What can be asked for under these settings. No torch. Raises :class:`SetupError` or :class:`ModelError`."""
    registry = Registry.discover(settings.plugins, public=settings.public)
    models = [inspect(settings.model)] if settings.model is not None else []
    catalog = Catalog(registry, [*models, inspect(EMBEDDED)])
    for folder in Home(settings.home).remembered_models():
        try:
            catalog.add_model(inspect(folder))
        except CalotypeError as error:  # it was fine once; the service goes on without it
            log.warning("a model that was offered before is left out: %s", error)
    return catalog


@asynccontextmanager
async def open_service(
    settings: Settings, home: Home, catalog: Catalog, *, only_own: bool = False
) -> AsyncIterator[Studio]:
    """The running service on a home that this process owns (:meth:`Home.acquire`).

    The engine loads in the background; jobs are accepted at once and wait for it. On exit running jobs get
    ``settings.drain_seconds`` to end, then go back into the queue. The home stays acquired. With ``only_own`` no jobs
    are run but those that this studio submits: the others wait for a server, which may have other models and plugins.
    """
    from calotype.chores import Chores
    from calotype.dispatch import Dispatcher
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger
    from calotype.ledger.migrate import upgrade

    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    await asyncio.to_thread(upgrade, url, home.backups)
    threads = home.threads(settings.threads)
    reviews = catalog.registry.reviews
    ledger, store, bus = (
        Ledger(url, settings.limits),
        ImageStore(home.images),
        Bus(previews=_shows_previews(settings, reviews)),
    )
    moderation = _moderation(settings, home, ledger, reviews)
    await asyncio.to_thread(ledger.own)
    await asyncio.to_thread(ledger.people.apply_roles)
    requeued, dead = await asyncio.to_thread(ledger.recover)
    if requeued or dead:
        log.info("after an unclean end: back in the queue: %d, given up: %d", len(requeued), len(dead))

    def make_host(listener: HostListener) -> Host:
        from calotype.engine.host import InProcessHost  # torch is imported here and nowhere earlier

        host = InProcessHost(
            listener,
            device=settings.device,
            threads=threads,
            slots=settings.slots,
            plugin_seconds=settings.plugin_seconds,
            postprocess_seconds=settings.postprocess_seconds,
            model_memory=None if settings.model_memory is None else settings.model_memory * 10**6,
        )
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

    dispatcher = Dispatcher(
        ledger,
        store,
        catalog,
        bus,
        make_host,
        moderation.screen,
        slots=settings.slots,
        residents=settings.residents,
        only_own=only_own,
    )
    chores = Chores(ledger, store, retention_days=settings.retention_days)
    chores.start()
    dispatching = asyncio.create_task(dispatcher.run(), name="dispatcher")
    try:
        yield Studio(ledger, store, catalog, bus, dispatcher, moderation, remember=home.remember_model)
    finally:
        try:
            await dispatcher.stop(settings.drain_seconds)
            await dispatching
        finally:
            chores.stop()
            ledger.close()
            gc.unfreeze()


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


def _moderation(settings: Settings, home: Home, ledger: Ledger, reviews: Reviews) -> Moderation:
    from calotype.moderation.desk import Limits, Moderation

    words = PromptReview.load(home.blocked_words, use_bundled=settings.bundled_words)
    if settings.public and not any(True for _ in reviews.of_pictures()):
        log.warning("public, and no plugin reviews pictures: only words and blocked pictures are looked at")
    return Moderation(ledger.blocked, words, reviews, Limits(settings.plugin_seconds, settings.postprocess_seconds))


def _shows_previews(settings: Settings, reviews: Reviews) -> bool:
    if settings.previews == "auto":
        return not (settings.public and any(True for _ in reviews.of_pictures()))
    return settings.previews == "on"
