"""What the operator sees, and what nobody may see."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import text

from calotype import logs
from calotype.ledger import open_ledger
from calotype.person import Person
from calotype.request import Request


@pytest.mark.parametrize("name", ["calotype.serve", "calotype_bot.syncing", "calotype_api.app", "calotype_gradio.page"])
def test_every_front_end_is_heard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(name.split(".", maxsplit=1)[0]), "level", logging.NOTSET)
    logs.set_up("INFO")
    assert logging.getLogger(name).isEnabledFor(logging.INFO)


def test_a_database_error_tells_no_prompt_and_no_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'c.db'}", None)
    ledger._database.write(lambda connection: connection.execute(text("DROP TABLE outbox")))
    job = ledger.submit(
        Person("discord:1"),
        Request(prompt="a private prompt", seed=1, steps=1, width=64, height=64, model="m", sampler="euler"),
        cost=1.0,
        reply_to={"front_end": "discord", "token": "SECRET-TOKEN"},
    )
    try:
        ledger.cancel(job.id)
    except Exception:
        logging.getLogger("calotype").exception("as a front end would")
    assert "Traceback" in caplog.text
    assert "SECRET-TOKEN" not in caplog.text
    assert "private prompt" not in caplog.text
