"""Visitors of the web, who have no account anywhere: known by a signed cookie, or else by their address.

Neither the cookie's key nor an address is ever stored: an address is a digest made with a secret of the home, and of
an IPv6 address its network of 64 bits counts, since everybody has so many of the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from typing import Final

from calotype.person import Person
from calotype.roles import VISITOR

ANONYMOUS: Final = ("web:", "api:", "tab:")
"""How keys of people begin who have no account: known by cookie, by address, by an open tab of the page."""
COOKIE: Final = "calotype_visitor"
COOKIE_AGE: Final = 365 * 24 * 3600
"""Seconds for which a browser keeps it."""
SCOPE: Final = "calotype.visitor"
"""Where in an ASGI scope a web application leaves the :class:`~calotype.person.Person`, for pages mounted on it."""
_COOKIE: Final = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})")


class Visitors:
    """Makes and recognises them. ``secret`` is the home's: whoever has another one knows nobody."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def by_address(self, address: str | None) -> Person:
        """Whoever comes from there: everybody behind one address is the same person."""
        digest = self.digest(address or "local")
        return Person(f"api:{digest}", role=VISITOR, address=digest, shared=True)

    def by_cookie(self, cookie: str | None, address: str | None) -> Person | None:
        """Whom a cookie of ours names; None if it is not one."""
        found = _COOKIE.fullmatch(cookie or "")
        if found is None or not hmac.compare_digest(found[2], self._sign("cookie", found[1])):
            return None
        digest = self.digest(address or "local")
        return Person(f"web:{found[1]}", name="visitor", role=VISITOR, address=digest)

    def new_cookie(self) -> str:
        """For somebody who has none: a name of 128 random bits and our signature."""
        name = secrets.token_hex(16)
        return f"{name}.{self._sign('cookie', name)}"

    def digest(self, address: str) -> str:
        """An address as it may be stored."""
        return self._sign("address", _network(address))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()[:32]


def _network(address: str) -> str:
    """What of an address says who it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
