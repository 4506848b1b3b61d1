"""How alembic runs calotype's migrations: one history for SQLite and PostgreSQL.

The program hands in a connection whose transaction it commits itself (``calotype.ledger.migrate``). On the command
line name the database: ``alembic -x url=sqlite:///scratch.db upgrade head``, then ``… revision --autogenerate
--rev-id 0002 -m "what changes"``. A file's name begins with its revision, which counts up.
"""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Engine

from calotype.ledger.database import open_engine
from calotype.ledger.search_tables import UNMODELLED
from calotype.ledger.tables import UTCDateTime, metadata


def render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """In a migration stand plain types only: it must mean the same when our own have long changed."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def is_compared(name: str | None, kind: str, _: Any) -> bool:
    """All but the full-text search's own tables and index: the metadata makes them by events, as no plain tables."""
    return not (kind in {"table", "index"} and name is not None and name.startswith(UNMODELLED))


def run(connection: Connection) -> None:
    """Runs what was asked for in the connection's transaction, all or nothing."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite changes a column only by a rebuild of its table. A rebuild loses CHECK constraints and triggers that
        # the migration does not repeat; tests/migrations compares them.
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render,
        include_name=is_compared,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on(engine: Engine) -> None:
    """Runs it in a transaction of its own."""
    with engine.execution_options(writes=True).begin() as connection:
        run(connection)


def main() -> None:
    """Finds out where to run: on what was handed in, or on the database of ``-x url=…``."""
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        run(given)
        return
    if given is not None:
        run_on(given)
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not isinstance(url, str):
        raise SystemExit("name the database: alembic -x url=sqlite:///scratch.db …")
    engine = open_engine(url, foreign_keys=False)
    try:
        run_on(engine)
    finally:
        engine.dispose()


main()
