"""Settings of the operator: environment variables that begin with ``CALOTYPE_``. Read once, passed in everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from calotype.errors import Problem, SetupError
from calotype.request import problems
from calotype.roles import DEFAULT_ROLES, Limits, Role, roles_of


def _roles(value: Any) -> Any:
    """From JSON, on top of the defaults."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON: {str(error) or 'nested too deeply'}") from None
    return roles_of(value)


class Settings(BaseSettings):
    """Every setting has a default with which a first ``calotype serve`` works."""

    model_config = SettingsConfigDict(
        env_prefix="CALOTYPE_", frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    home: Path = Field(default_factory=lambda: Path.home() / ".local" / "share" / "calotype")
    """Folder of everything that is kept: database, pictures, backups."""
    database_url: SecretStr | None = None
    """postgresql://user:password@host/database. None: a SQLite file in the home."""
    images: Path | None = None
    """Folder of the pictures. None: in the home. Processes that share a database share this folder too."""
    lease_seconds: Annotated[float, Field(ge=3, le=3600)] = 30.0
    """Seconds after which the jobs of a worker that was not heard of go to another one. On PostgreSQL only."""
    disk_free_gb: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    """Gigabytes (10**9 bytes) that have to be free where pictures are kept; with less no job is begun. 0: no limit."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """CPU threads of one model call. None: what is written down in the home; it is part of what makes pictures
    bit-equal, so it is chosen once and never measured again."""
    model: Path | None = None
    """A diffusers folder to offer as the default model, beside the embedded one."""
    plugins: Annotated[tuple[str, ...], NoDecode] = ()
    """Community plugins to load, by entry-point name, separated by commas. Bundled ones are always on."""
    slots: Annotated[int, Field(ge=1, le=64)] = 8
    """Pictures that share one model call."""
    residents: Annotated[int, Field(ge=1, le=256)] = 32
    """Jobs an engine may hold at once; a resident that waits costs only its latents."""
    plugin_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """Seconds that a sampler may take from one query to the next, or a schedule for its levels."""
    postprocess_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 60.0
    """Seconds that a post-processor, or a review, may take for one picture."""
    public: bool = False
    """Strangers can reach the service: what a review cannot judge is refused, the bundled list of words stays on, and
    a listed plugin that cannot be loaded stops the start."""
    bundled_words: bool = True
    """Whether the bundled list of words is applied. Always in public mode."""
    previews: Literal["auto", "on", "off"] = "auto"
    """Whether pictures are shown while they are made. auto: except in public mode with a plugin that reviews pictures,
    since a preview shows what may be refused in the end."""
    model_memory: Annotated[int, Field(ge=1)] | None = None
    """Megabytes (10**6) that loaded models may take. None: half of the device's memory."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names, separated by commas, under which a reverse proxy on this machine reaches the service."""
    roles: Annotated[Mapping[str, Role], NoDecode, BeforeValidator(_roles)] = Field(
        default_factory=lambda: dict(DEFAULT_ROLES)
    )
    """JSON: weight, queued jobs and daily budget by role, on top of the defaults (see docs/people.md)."""
    guild_queued: Annotated[int, Field(ge=0, le=1_000_000)] = 200
    """Jobs that may wait from one Discord server; 0 is no limit."""
    address_queued: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """Jobs that may wait from one address of anonymous visitors; 0 is no limit."""
    retention_days: Annotated[int, Field(ge=0, le=36500)] = 0
    """Days after which finished jobs and their pictures are removed, but for favourites; 0 keeps everything."""
    retention_gb: Annotated[float, Field(ge=0, le=10**6)] = 0.0
    """Gigabytes (10**9) that pictures may take: above, the oldest jobs that are no favourites go. 0 is no limit."""
    attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    """Unclean ends of the service in which a job may have been running before it is given up as their cause."""
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    """How long a stop waits for running jobs before it puts them back into the queue."""
    discord_token: SecretStr | None = Field(default=None, validation_alias="DISCORD_TOKEN")
    """The bot's token. Without one there is no bot."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 7860

    @field_validator("plugins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("bundled_words")
    @classmethod
    def _needed_in_public(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("public"):
            raise ValueError("cannot be switched off while CALOTYPE_PUBLIC is on")
        return value

    @property
    def limits(self) -> Limits:
        """How much may be asked for."""
        return Limits(self.roles, self.guild_queued or None, self.address_queued or None)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """From the environment, with ``overrides`` (None ones are ignored) on top. Raises :class:`SetupError`."""
        try:
            return cls(**{key: value for key, value in overrides.items() if value is not None})
        except ValidationError as error:
            found = [Problem(f"CALOTYPE_{p.field.upper()}", p.message) for p in problems(error)]
            raise SetupError("; ".join(map(str, found))) from None
