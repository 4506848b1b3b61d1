"""How a database goes about what the ledger asks of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event

from calotype.ledger import Ledger


def plans(ledger: Ledger, call: Callable[[], Any]) -> list[str]:
    """The query plan of every statement that the call sends."""
    sent: list[tuple[str, Any]] = []
    engine = ledger._database._engine

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    call()
    event.remove(engine, "before_cursor_execute", note)
    found = []
    for statement, parameters in sent:
        if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE")) and "pg_advisory" not in statement:
            found += ledger._database.read(explained, statement, parameters)
    return found


def explained(connection: Connection, statement: str, parameters: Any) -> list[str]:
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    for way in ("seqscan", "sort", "bitmapscan"):  # of a small table all of it is read and sorted, index or not
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    rows = connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", parameters)
    return [row[0].strip().removeprefix("->").strip() for row in rows]


def is_sqlite(ledger: Ledger) -> bool:
    return ledger._database._engine.dialect.name == "sqlite"
