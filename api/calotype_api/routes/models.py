"""Models, in the shape of OpenAI's list, with what is needed to use ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype import texts
from calotype.catalog import Catalog
from calotype.checkpoint import ModelInfo
from calotype.errors import BadRequest, DatabaseError, ModelError, SetupError
from calotype_api.door import Json, door_of, object_of, person_of
from calotype_api.errors import error_answer

router = APIRouter()


def as_json(catalog: Catalog, model: ModelInfo) -> dict[str, Any]:
    """A model for anybody: where it lies on the disk is not told. Sizes are (width)x(height) in pixels."""
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "calotype",
        "title": model.title,
        "family": model.family,
        "default": model.name == catalog.default_model,
        "sizes": list(catalog.size_choices(model)),
        "own_sizes": {
            "sizes": [f"{width}x{height}" for width, height in model.sizes],
            "others": None if model.fixed_sizes else {"side": list(model.side_limits), "multiple_of": model.vae_scale},
        },
        "defaults": model.defaults.model_dump(mode="json"),
        "postprocess": list(model.postprocess),
        "examples": list(model.examples),
    }


def listed(catalog: Catalog) -> list[dict[str, Any]]:
    """Every model, the default one first."""
    models = sorted(catalog.models.values(), key=lambda model: model.name != catalog.default_model)
    return [as_json(catalog, model) for model in models]


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    """Every model that can be asked for."""
    return Json({"object": "list", "data": listed(door_of(request).studio.catalog)})


@router.get("/v1/models/{name}")
async def one_model(request: Request, name: str) -> Response:
    """One model by name."""
    catalog = door_of(request).studio.catalog
    if name not in catalog.models:
        return error_answer(404, f"model: {name!r} is not one of {', '.join(catalog.models)}", code="not_found")
    return Json(as_json(catalog, catalog.models[name]))


@router.post("/v1/models")
async def add_model(request: Request) -> Response:
    """Offer ``{"folder": path}``, a diffusers folder on this machine, until the service ends. Operators only."""
    studio = door_of(request).studio
    folder = (await object_of(request)).get("folder")
    if not isinstance(folder, str) or not texts.is_sound(folder):
        raise BadRequest.of("folder", "is not text; give the path of a diffusers model folder")
    try:
        model = await studio.add_model(Path(folder), person_of(request))
    except DatabaseError:
        raise
    except (ModelError, SetupError) as error:  # of the folder, which the operator can name anew
        field, _, message = str(error).partition(": ")
        raise BadRequest.of(field, message) from None
    return Json(as_json(studio.catalog, model), 201)
