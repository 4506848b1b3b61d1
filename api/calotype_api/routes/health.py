"""For whoever watches over the process."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype import __version__
from calotype_api.door import Json, door_of, problem_for

router = APIRouter()


@router.get("/healthz")
async def healthz() -> Response:
    """200 while the process lives."""
    return Json({"status": "ok", "service": "calotype", "version": __version__})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """200 once pictures can be made; else 503 with a ``state``.

    ``loading``; ``held`` while no job is begun, for the ``reason`` that is told; ``failed`` if none ever will be: that
    reason, which may name files, only the operator is told.
    """
    studio = door_of(request).studio
    if studio.ready and studio.held is None:
        return Json({"ready": True})
    if studio.problem is not None:
        return Json({"ready": False, "state": "failed", "reason": problem_for(request)}, 503)
    if studio.held is not None:
        return Json({"ready": False, "state": "held", "reason": studio.held}, 503)
    return Json({"ready": False, "state": "loading", "reason": "the model is loading"}, 503)
