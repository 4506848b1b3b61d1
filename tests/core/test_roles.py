"""Roles are read from the environment, on top of the defaults, with one clear line for what is wrong."""

from __future__ import annotations

import pytest

from calotype.config import Settings
from calotype.errors import BadRequest, SetupError
from calotype.roles import DEFAULT_ROLES, Role


def loaded(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Settings:
    for name, value in settings.items():
        monkeypatch.setenv(f"CALOTYPE_{name}", value)
    return Settings.load()


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = loaded(monkeypatch).limits
    assert limits.roles == DEFAULT_ROLES
    assert limits.role("patron").weight == 3.0
    assert limits.role("operator").queued is None
    assert limits.role("gone since") == limits.role("member")
    assert (limits.guild_queued, limits.address_queued) == (200, 50)
    assert limits.better("visitor", "patron") == limits.better("patron", "visitor") == "patron"


def test_settings_lie_on_top_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    given = '{"member": {"daily_budget": 50}, "patron": {"queued": null}, "guest-star": {"weight": 2}}'
    limits = loaded(monkeypatch, ROLES=given, GUILD_QUEUED="0", ADDRESS_QUEUED="7").limits
    assert limits.role("member") == Role(queued=20, daily_budget=50)
    assert limits.role("patron") == Role(weight=3.0, queued=None, favourites=1000)
    assert limits.role("guest-star") == Role(weight=2.0, queued=20)
    assert limits.role("visitor") == DEFAULT_ROLES["visitor"]
    assert (limits.guild_queued, limits.address_queued) == (None, 7)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{", "CALOTYPE_ROLES: is not JSON"),
        ("[1]", "CALOTYPE_ROLES: is not a JSON object"),
        ('{"member": 3}', "CALOTYPE_ROLES.MEMBER"),
        ('{"member": {"weight": 0}}', "CALOTYPE_ROLES.MEMBER.WEIGHT: 0 is too small; at least 0.01"),
        ('{"member": {"weight": "3"}}', "CALOTYPE_ROLES.MEMBER.WEIGHT: '3' is not a number"),
        ('{"member": {"queued": -1}}', "CALOTYPE_ROLES.MEMBER.QUEUED: -1 is too small"),
        ('{"member": {"queued": 1.5}}', "CALOTYPE_ROLES.MEMBER.QUEUED: 1.5 is not a whole number"),
        ('{"member": {"daily_budget": NaN}}', "CALOTYPE_ROLES.MEMBER.DAILY_BUDGET: nan is not a number"),
        ('{"member": {"speed": 1}}', "CALOTYPE_ROLES.MEMBER.SPEED: is not a field"),
        ('{"The King": {}}', "CALOTYPE_ROLES: 'The King' is no name for a role"),
    ],
)
def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, given: str, said: str) -> None:
    with pytest.raises(SetupError) as caught:
        loaded(monkeypatch, ROLES=given)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("name", ["GUILD_QUEUED", "ADDRESS_QUEUED"])
def test_caps_are_whole_numbers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SetupError, match=f"CALOTYPE_{name}: -1 is too small|CALOTYPE_{name}: '-1' is too small"):
        loaded(monkeypatch, **{name: "-1"})


def test_a_role_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match="role: 'x' is not one of visitor, member, patron, operator"):
        loaded(monkeypatch).limits.check_role("x")
