"""Visitors are known by a cookie that nobody can make up, or by a digest of their address, never by the address."""

from __future__ import annotations

from pathlib import Path

import pytest

from calotype.errors import SetupError
from calotype.home import Home
from calotype.visitors import Visitors

OURS = Visitors(b"secret")


def test_a_cookie_is_somebody_wherever_they_are() -> None:
    cookie = OURS.new_cookie()
    here, there = OURS.by_cookie(cookie, "192.0.2.1"), OURS.by_cookie(cookie, "192.0.2.2")
    assert here is not None
    assert there is not None
    assert here.key == there.key
    assert here.key.startswith("web:")
    assert (here.role, here.shared) == ("visitor", False)
    assert here.address != there.address
    assert OURS.by_cookie(OURS.new_cookie(), "192.0.2.1") != here


@pytest.mark.parametrize("cookie", [None, "", ".", "a.b", "ab" * 16, f"{'ab' * 16}.{'cd' * 16}", "é" * 65])
def test_what_we_did_not_sign_is_nobody(cookie: str | None) -> None:
    assert OURS.by_cookie(cookie, "192.0.2.1") is None


def test_another_secret_knows_nobody() -> None:
    assert Visitors(b"other").by_cookie(OURS.new_cookie(), None) is None
    assert Visitors(b"other").digest("192.0.2.1") != OURS.digest("192.0.2.1")


def test_an_address_is_a_digest() -> None:
    person = OURS.by_address("192.0.2.1")
    assert person.shared
    assert "192" not in repr(person)
    assert person.key == OURS.by_address("::ffff:192.0.2.1").key
    assert person.key != OURS.by_address("192.0.2.2").key
    assert OURS.by_address(None).key != person.key


def test_of_ipv6_the_network_counts() -> None:
    assert OURS.digest("2001:db8:1:2::1") == OURS.digest("2001:db8:1:2:ffff::9%eth0")
    assert OURS.digest("2001:db8:1:2::1") != OURS.digest("2001:db8:1:3::1")


def test_the_secret_is_written_once_for_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    secret = home.secret()
    assert len(secret) == 32
    assert Home(tmp_path).secret() == secret
    file = tmp_path / "secret.key"
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("short")
    with pytest.raises(SetupError, match=r"secret\.key"):
        home.secret()
