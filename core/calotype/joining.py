"""How a process joins others at one ledger: under a name of its own, with the same pictures."""

from __future__ import annotations

import os
import secrets
import socket

from sqlalchemy.exc import SQLAlchemyError

from calotype.bus import Bus
from calotype.errors import DatabaseError, SetupError
from calotype.images.store import ImageStore
from calotype.ledger import Ledger
from calotype.ledger.leases import Holder
from calotype.ledger.session import Kind, Session, number_of
from calotype.relay import Relay


def join(ledger: Ledger, store: ImageStore, bus: Bus, *, lease: float, engine: bool) -> Relay:
    """The way to the other processes, not started yet. With an ``engine`` this one claims, for ``lease`` seconds.

    Raises :class:`SetupError` if the others keep their pictures in another folder.
    """
    session = ledger.session()
    try:
        _check_images(ledger, session, store)
        worker = _name()
        while engine and not session.lock(Kind.WORKER, worker):
            worker = _name()  # its number is somebody else's, once in four billion
    except SQLAlchemyError as error:
        session.close()
        raise DatabaseError(f"database: the service cannot begin ({type(error).__name__}); try again") from error
    except BaseException:
        session.close()
        raise
    ledger.leases.holder = Holder(worker, lease) if engine else None
    return Relay(ledger, bus, session, worker, lease)


def _check_images(ledger: Ledger, session: Session, store: ImageStore) -> None:
    own = store.identity()
    session.lock(Kind.IMAGES, own, shared=True)
    if ledger.alive(Kind.IMAGES) - {number_of(own)}:
        raise SetupError(
            f"CALOTYPE_IMAGES: other processes on this database keep their pictures elsewhere than in {store.folder}; "
            "set it to one folder that all of them share"
        )


def _name() -> str:
    """Unique among all processes on the database; an operator can tell which one it is."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
