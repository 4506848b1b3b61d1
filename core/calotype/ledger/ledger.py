"""Ledger: the durable record of jobs. The one door of this package; all of it may be called from any thread.

A job's life in the files: ``submit``, ``claim`` and ``release`` in queue.py, whose order comes from fair.py;
``finish``, ``fail`` and ``cancel`` in ending.py; the way to its person in outbox.py; afterwards history.py.
Who a person is: accounts.py and linking.py; what they may ask for: limits.py. Where several processes work on it:
leases.py, session.py, channel.py, steps.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from calotype.job import Job, JobStatus, Picture
from calotype.ledger import ending, history, outbox, positions, queue, rows, starts
from calotype.ledger.blocked import Blocked
from calotype.ledger.channel import Channel, Note
from calotype.ledger.database import Database
from calotype.ledger.leases import Leases
from calotype.ledger.migrate import upgrade
from calotype.ledger.outbox import Delivery
from calotype.ledger.past import Archive
from calotype.ledger.people import People
from calotype.ledger.periods import Periods
from calotype.ledger.positions import Turn
from calotype.ledger.session import Kind, Session, holders
from calotype.ledger.steps import Steps
from calotype.ledger.timetable import Timetable
from calotype.person import Person
from calotype.request import Request
from calotype.roles import UNLIMITED, Limits

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Ledger:
    """Jobs, their order, their results and their deliveries, in one database.

    Every method is one transaction and, when it returns, durable. Every method raises
    :class:`calotype.errors.DatabaseError` if the database cannot be read or written.
    """

    def __init__(self, url: str, limits: Limits = UNLIMITED) -> None:
        """Opens nothing yet. ``url`` is a SQLAlchemy URL of a database at today's schema (see :func:`open_ledger`)."""
        self._database = Database(url)
        self.archive = Archive(self._database)
        self.blocked = Blocked(self._database)
        """What an operator has blocked, and the audit."""
        self.people = People(self._database, limits)
        self.leases = Leases(self._database)
        self.steps = Steps(self._database)
        self.periods = Periods(self._database)
        self.timetable = Timetable(self._database, limits)

    @property
    def shared(self) -> bool:
        """Whether several processes may work on it at once, by leases: a server, not a file."""
        return self._database.shared

    def session(self) -> Session:
        """A new connection that shows others that this process lives. Of a shared ledger only."""
        return Session(self._database.engine)

    def channel(self, session: Session, hear: Callable[[Sequence[Note] | None], None]) -> Channel:
        """Notes from other processes, see :class:`Channel`. Of a shared ledger only."""
        return Channel(self._database, session, hear)

    def alive(self, kind: Kind) -> set[int]:
        """Numbers of the names that some process holds as this kind. Of a shared ledger only."""
        return self._database.read(holders, kind)

    def close(self) -> None:
        """Closes the database. Waits for a write that is going on."""
        self._database.close()

    # -- a job's life ------------------------------------------------------------------------------------------

    def submit(
        self,
        person: Person,
        request: Request,
        *,
        cost: float,
        key: str | None = None,
        reply_to: Mapping[str, Any] | None = None,
        parent: str | None = None,
        scheduled: int | None = None,
    ) -> Job:
        """Accepts a resolved request, or finds the job that this person submitted with this ``key`` before.

        ``cost`` in cost units, above zero. ``reply_to["front_end"]`` names the front end that delivers the result.
        ``parent`` is the job that it varies, ``scheduled`` the prompt that it comes from, which must be there yet.
        Raises ValueError if either is not so, :class:`BadRequest` if it starts
        from a picture or varies a job that is not theirs, :class:`NotAllowed` if they are banned,
        :class:`LimitReached` if a cap or budget is used up.
        """
        return self._database.write(
            queue.submit,
            person,
            request,
            cost=cost,
            key=key,
            reply_to=reply_to,
            parent=parent,
            scheduled=scheduled,
            allowed=self.people.limits,
        )

    def claim(
        self,
        limit: int = 1,
        *,
        at_most_per_person: int | None = None,
        loaded: Collection[str] = (),
        tried_at_most: int | None = None,
    ) -> list[Job]:
        """Up to ``limit`` jobs to run, in fair order; their people are charged.

        People who have ``at_most_per_person`` jobs running, these included, are passed over. Models ``loaded`` (names)
        are preferred, as far as nobody is overtaken by more than about two of their own jobs. A job that was tried more
        often than ``tried_at_most`` is not claimed, and nothing instead of it: its turn is when it can run alone.
        """
        return self._database.write(queue.claim, limit, at_most_per_person, loaded, self._held(), tried_at_most)

    def claim_job(self, job_id: str) -> Job | None:
        """Claims one job by its id, if it is still queued, whosever turn it is; its person is charged."""
        return self._database.write(queue.claim_job, job_id, self._held())

    def _held(self) -> Mapping[str, Any]:
        holder = self.leases.holder
        return _NOTHING if holder is None else holder.values()

    def release(self, job_id: str, epoch: int) -> bool:
        """Puts a claimed job back to its old place, uncharged, its attempt uncounted. False if the claim is stale."""
        return self._database.write(queue.release, job_id, epoch)

    def finish(self, job_id: str, epoch: int, pictures: Sequence[Picture], record: Mapping[str, Any]) -> bool:
        """Records the result and posts its delivery. False, and nothing changed, if the claim is stale."""
        return self._database.write(ending.finish, job_id, epoch, pictures, record)

    def fail(self, job_id: str, epoch: int, reason: str, record: Mapping[str, Any] = _NOTHING) -> bool:
        """Records why there is no result and posts that. False, and nothing changed, if the claim is stale."""
        return self._database.write(ending.fail, job_id, epoch, reason, record)

    def cancel(self, job_id: str, by: str | None = None) -> Job | None:
        """Calls the job off unless it has ended. The job as it now stands; None if it is unknown.

        ``by`` is the account of whoever does so: if it is somebody else's job, the audit has it.
        """
        return self._database.write(ending.cancel, job_id, by)

    def recover(self, max_attempts: int = 3) -> tuple[list[str], list[str]]:
        """For the start of the one process that owns the database, before it claims: whatever runs is nobody's.

        Of a ledger that is not shared; else see :class:`~calotype.ledger.leases.Leases`.
        Ids of the jobs that wait again, and of those that are failed because they ran ``max_attempts`` times.
        """
        return self._database.write(queue.recover, max_attempts)

    # -- looking -----------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job | None:
        """The job as it now stands. None if it is unknown."""
        return self._database.read(rows.one_job, job_id)

    def position(self, job_id: str) -> int | None:
        """How many queued jobs will be claimed before this one. None if it is not queued."""
        return self.positions([job_id]).get(job_id)

    def positions(self, job_ids: Iterable[str]) -> dict[str, int]:
        """The positions of those that are queued, from one snapshot. Reads the whole queue once."""
        return self._database.read(positions.positions, list(job_ids))

    def turns(self, job_ids: Iterable[str]) -> dict[str, Turn]:
        """As :meth:`positions`, with about how long it takes until then."""
        return self._database.read(positions.turns, list(job_ids))

    def history(self, person_key: str | None, *, limit: int = 50, before: str | None = None) -> list[Job]:
        """A person's jobs, or everybody's (None), newest first; ``before`` is the last id of the page before."""
        return self._database.read(history.history, person_key, limit, before)

    def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are of each status, zeros included."""
        return self._database.read(history.counts)

    # -- deliveries --------------------------------------------------------------------------------------------

    def deliveries(self, front_end: str, limit: int = 100) -> list[Delivery]:
        """Results that this front end should bring to their people now, oldest first."""
        return self._database.read(outbox.due, front_end, limit)

    def expire_deliveries(self, ended_before: datetime) -> list[str]:
        """Gives up what is still to be delivered of jobs that ended before (aware). Those jobs' ids."""
        return self._database.write(outbox.expire, ended_before)

    def delivered(self, delivery_id: int) -> None:
        """It arrived. Saying so twice is fine."""
        self._database.write(outbox.delivered, delivery_id)

    def delivery_failed(self, delivery_id: int, reason: str, retry_at: datetime | None) -> None:
        """It did not arrive; it is due again at ``retry_at`` (aware), or given up (None)."""
        self._database.write(outbox.failed, delivery_id, reason, retry_at)

    # -- retention ---------------------------------------------------------------------------------------------

    def expire(self, finished_before: datetime, limit: int = 500) -> int:
        """Deletes up to ``limit`` jobs that ended before (aware). How many it were.

        No favourites, and none whose result is still to be delivered.
        """
        return self._database.write(history.expire, finished_before, limit)

    def under_way(self, front_end: str, after: int = 0, limit: int = 200) -> list[tuple[int, Job]]:
        """Jobs that are not over and are to be delivered by a front end, in their order; ``after`` this number."""
        return self._database.read(history.under_way, front_end, after, limit)

    def erase(self, job_id: str, by: str | None = None) -> bool:
        """Deletes a job that has ended, with pictures and delivery. False if it is unknown or not over yet.

        ``by`` as for :meth:`cancel`.
        """
        return self._database.write(history.erase, job_id, by)

    def unreferenced(self, sha256s: Iterable[str]) -> set[str]:
        """Which of these nothing refers to: no job drew it, none starts from it, and it is no upload."""
        return self._database.read(history.unreferenced, list(sha256s))

    # -- pictures to start from --------------------------------------------------------------------------------

    def may_use(self, person: Person, sha256: str) -> bool:
        """Whether the person may start from this picture."""
        return self._database.read(starts.may_use, person, sha256)

    def knows(self, person_key: str, key: str) -> bool:
        """Whether the person submitted a job with this ``key`` before."""
        return self._database.read(queue.known, person_key, key)

    def drawn(self, sha256: str) -> bool:
        """Whether the picture is the result of a job."""
        return self._database.read(starts.drawn, sha256)

    def uploads(self, person_key: str) -> int:
        """How many pictures are kept because this person uploaded them."""
        return self._database.read(starts.taken, person_key)

    def take_in(self, person: Person | str, sha256: str) -> None:
        """The person uploaded the picture now; they may start from it until it is forgotten.

        Raises :class:`NotAllowed` if they are banned.
        """
        by = person if isinstance(person, Person) else Person(person)
        self._database.write(starts.take_in, by, sha256, self.people.limits)

    def forget_uploads(self, taken_before: datetime) -> int:
        """Lets go of older uploads (aware); jobs that start from one keep it. How many."""
        return self._database.write(starts.forget, taken_before)


def open_ledger(url: str, backup_dir: Path | None) -> Ledger:
    """The ledger at ``url``, created or upgraded first if need be; a backup of an older one goes to ``backup_dir``.

    Raises :class:`calotype.errors.DatabaseError` with what is wrong and what to do.
    """
    upgrade(url, backup_dir)
    return Ledger(url)
