"""Builds the web application."""

from __future__ import annotations

import secrets
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response

from calotype import __version__
from calotype.config import Settings
from calotype.studio import Studio
from calotype.visitors import Visitors
from calotype_api import errors
from calotype_api.cookies import Cookies
from calotype_api.door import Door
from calotype_api.origin import Origin
from calotype_api.routes import catalog, health, history, images, jobs, models, moderation, people, schedule, uploads
from calotype_api.stopping import Stopping

_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def create_app(studio: Studio, settings: Settings, operator_token: str, visitors: Visitors | None = None) -> FastAPI:
    """The API over a studio. Whoever bears ``operator_token`` is the operator. Pages may be mounted on it.

    ``visitors`` knows the others; None knows them as long as the application lives.
    """
    visitors = visitors or Visitors(secrets.token_bytes(32))
    app = FastAPI(title="Calotype", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    door = app.state.door = Door(studio, settings, operator_token, visitors)
    for module in (health, images, jobs, history, uploads, models, catalog, people, schedule, moderation):
        app.include_router(module.router)
    app.add_api_route("/v1/{path:path}", _no_such_path, methods=_METHODS)  # else a page mounted at / would answer
    errors.install(app)
    app.add_middleware(Cookies, visitors=visitors)
    app.add_middleware(Origin, settings=settings)
    app.add_middleware(Stopping, stopping=door.stopping)  # last, so outermost
    return app


async def _no_such_path() -> Response:
    raise HTTPException(404, "there is no such path, or it does not take this method")
