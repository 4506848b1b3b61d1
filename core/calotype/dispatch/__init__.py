"""Claims jobs from the ledger and drives engine hosts."""

from calotype.dispatch.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
