"""Settings of the operator: environment variables that begin with ``CALOTYPE_``. Read once, passed in everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from calotype.errors import Problem, SetupError
from calotype.request import problems


class Settings(BaseSettings):
    """Every setting has a default with which a first ``calotype serve`` works."""

    model_config = SettingsConfigDict(
        env_prefix="CALOTYPE_", frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    home: Path = Field(default_factory=lambda: Path.home() / ".local" / "share" / "calotype")
    """Folder of everything that is kept: database, pictures, backups."""
    database_url: SecretStr | None = None
    """postgresql://user:password@host/database. None: a SQLite file in the home."""
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
    """Seconds that a post-processor may take for one picture."""
    model_memory: Annotated[int, Field(ge=1)] | None = None
    """Megabytes (10**6) that loaded models may take. None: half of the device's memory."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names, separated by commas, under which a reverse proxy on this machine reaches the service."""
    retention_days: Annotated[int, Field(ge=0, le=36500)] = 0
    """Days after which finished jobs and their pictures are removed; 0 keeps everything."""
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

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """From the environment, with ``overrides`` (None ones are ignored) on top. Raises :class:`SetupError`."""
        try:
            return cls(**{key: value for key, value in overrides.items() if value is not None})
        except ValidationError as error:
            found = [Problem(f"CALOTYPE_{p.field.upper()}", p.message) for p in problems(error)]
            raise SetupError("; ".join(map(str, found))) from None
