"""The durable side: jobs, their fair order, their results and deliveries. No torch.

A job's life, in the order in which to read it; :class:`~calotype.ledger.ledger.Ledger` is the door to all of it:

1. ``queue.submit``: who asks (``accounts``, ``limits``), what it starts from and varies (``starts``, ``family``), its
   words (``search``), and ``fair.enters``. One transaction, shared with others that wait at the same moment
   (``grouping``), and on the disk before anybody is told.
2. ``queue.claim``: whose turn it is (``fair``; with loaded models ``warm``), charged. How far off that is:
   ``positions``.
3. Running: in whose name, and until when (``leases``, ``session``). Back into the queue: ``queue.release``,
   ``queue.recover``, ``leases.take_back``; given up after too many attempts.
4. ``ending``: finished, failed or cancelled, fenced by the claim's epoch, together with its row in the ``outbox``, from
   which a front end delivers it.
5. Afterwards: ``history``, ``past``, ``retention``, ``erasing``.

Beside it: ``people`` and ``linking``, ``blocked`` and ``audit``, ``timetable`` and ``periods``; between processes
``channel`` and ``steps``; under it ``database``, ``tables``, ``migrate``, ``backup``, ``check``.
"""

from calotype.ledger.ledger import Ledger, open_ledger
from calotype.ledger.looking import LedgerReader
from calotype.ledger.migrate import upgrade
from calotype.ledger.outbox import Delivery

__all__ = ["Delivery", "Ledger", "LedgerReader", "open_ledger", "upgrade"]
