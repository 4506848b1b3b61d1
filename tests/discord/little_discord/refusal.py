"""How the server says no, in Discord's words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNKNOWN_CHANNEL = (404, 10003, "Unknown Channel")
UNKNOWN_MESSAGE = (404, 10008, "Unknown Message")
UNKNOWN_WEBHOOK = (404, 10015, "Unknown Webhook")
UNKNOWN_INTERACTION = (404, 10062, "Unknown interaction")
TOO_LARGE = (413, 40005, "Request entity too large")
ACKNOWLEDGED = (400, 40060, "Interaction has already been acknowledged.")
MISSING_ACCESS = (403, 50001, "Missing Access")
NOT_THE_AUTHOR = (403, 50005, "Cannot edit a message authored by another user")
EMPTY = (400, 50006, "Cannot send an empty message")
INVALID_TOKEN = (401, 50027, "Invalid Webhook Token")
INVALID_FORM = (400, 50035, "Invalid Form Body")
UNAUTHORIZED = (401, 0, "401: Unauthorized")
NO_SUCH_ROUTE = (404, 0, "404: Not Found")


class Refusal(Exception):
    """A request that Discord would not take."""

    def __init__(self, reason: tuple[int, int, str], problems: Sequence[str] = ()) -> None:
        self.status, self.code, self.message = reason
        self.problems = list(problems)
        super().__init__(f"{self.status} {self.code} {self.message}" + "".join(f"; {each}" for each in problems))

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.problems:
            found["errors"] = {"_errors": [{"code": 50035, "message": each} for each in self.problems]}
        return found


def refuse_form(problems: Sequence[str]) -> None:
    """Raise if there are problems."""
    if problems:
        raise Refusal(INVALID_FORM, problems)
