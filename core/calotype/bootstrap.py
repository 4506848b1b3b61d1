"""The one place where the service is put together."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.config import Settings
from calotype.engine.assignment import Host, HostListener
from calotype.errors import CalotypeError
from calotype.home import Home
from calotype.moderation import PromptReview
from calotype.plugins.registry import Registry
from calotype.studio import Studio

log = logging.getLogger(__name__)


def catalog_for(settings: Settings) -> Catalog:
    """What can be asked for under these settings. No torch. Raises :class:`SetupError` or :class:`ModelError`."""
    registry = Registry.discover(settings.plugins)
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

    review = PromptReview.load(home.folder / "blocked_words.txt")
    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    await asyncio.to_thread(upgrade, url, home.backups)
    threads = home.threads(settings.threads)
    ledger, store, bus = Ledger(url), ImageStore(home.images), Bus()
    await asyncio.to_thread(ledger.own)
    requeued, dead = await asyncio.to_thread(ledger.recover, settings.attempts)
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
        slots=settings.slots,
        residents=settings.residents,
        only_own=only_own,
    )
    chores = Chores(ledger, store, retention_days=settings.retention_days)
    chores.start()
    dispatching = asyncio.create_task(dispatcher.run(), name="dispatcher")
    try:
        yield Studio(ledger, store, catalog, bus, dispatcher, review, remember=home.remember_model)
    finally:
        try:
            await dispatcher.stop(settings.drain_seconds)
            await dispatching
        finally:
            chores.stop()
            ledger.close()
            gc.unfreeze()
