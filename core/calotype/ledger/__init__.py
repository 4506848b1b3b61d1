"""The durable side: jobs, their fair order, their results and deliveries. No torch.

Start at :class:`~calotype.ledger.ledger.Ledger`.
"""

from calotype.ledger.ledger import Ledger, open_ledger
from calotype.ledger.looking import LedgerReader
from calotype.ledger.migrate import upgrade
from calotype.ledger.outbox import Delivery

__all__ = ["Delivery", "Ledger", "LedgerReader", "open_ledger", "upgrade"]
