"""Models, in the shape of OpenAI's list, with what is needed to use ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype.catalog import Catalog
from calotype.checkpoint import ModelInfo
from calotype.errors import BadRequest, DatabaseError, ModelError, SetupError
from calotype.models import add_from, check_operator, described
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


@router.get("/v1/models/added")
async def added_models(request: Request) -> Response:
    """Every model with its folder and sha256. Operators only."""
    check_operator(person_of(request))
    catalog = door_of(request).studio.catalog
    return Json({"object": "list", "data": [described(catalog, model) for model in catalog.models.values()]})


@router.get("/v1/models/{name}")
async def one_model(request: Request, name: str) -> Response:
    """One model by name."""
    catalog = door_of(request).studio.catalog
    if name not in catalog.models:
        return error_answer(404, f"model: {name!r} is not one of {', '.join(catalog.models)}", code="not_found")
    return Json(as_json(catalog, catalog.models[name]))


@router.post("/v1/models")
async def add_model(request: Request) -> Response:
    """Offer ``{"model": PATH_OR_HUB_ID}``, with ``name`` and ``sha256`` if wanted. Operators only."""
    studio, person = door_of(request).studio, person_of(request)
    check_operator(person)
    with _of_the_request():
        model = await add_from(studio.models, await object_of(request), person)
    return Json(as_json(studio.catalog, model) | described(studio.catalog, model), 201)


@router.delete("/v1/models/{name}")
async def remove_model(request: Request, name: str) -> Response:
    """Offer it no more. Operators only."""
    studio = door_of(request).studio
    model = await studio.models.remove(name, person_of(request))
    return Json(described(studio.catalog, model))


@router.post("/v1/models/{name}/default")
async def use_model(request: Request, name: str) -> Response:
    """Use it where a request names none. Operators only."""
    studio = door_of(request).studio
    model = await studio.models.use(name, person_of(request))
    return Json(described(studio.catalog, model))


@contextmanager
def _of_the_request() -> Iterator[None]:
    """What is wrong with a folder, its operator can name anew: a 400."""
    try:
        yield
    except DatabaseError:
        raise
    except (ModelError, SetupError) as error:
        field, _, message = str(error).partition(": ")
        raise BadRequest.of(field, message) from None
