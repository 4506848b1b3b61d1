"""All that can be asked for, so that a client can build its controls without knowing any plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype import request as limits
from calotype.postprocess import PIXEL_LIMIT, PostProcessor
from calotype.sampling import Sampler, Schedule
from calotype_api.door import BODY_LIMIT, Json, door_of
from calotype_api.routes.models import listed

router = APIRouter()


@router.get("/v1/catalog")
async def catalog(request: Request) -> Response:
    """Models, plugins with their label and the JSON schema of their parameters, and limits."""
    found = door_of(request).studio.catalog
    return Json(
        {
            "models": listed(found),
            "samplers": _described(found.registry.samplers),
            "schedules": _described(found.registry.schedules),
            "post_processors": _described(found.registry.postprocessors),
            "limits": {
                "prompt_characters": limits.PROMPT_LIMIT,
                "steps": [1, limits.STEPS_LIMIT],
                "guidance": [1.0, limits.GUIDANCE_LIMIT],
                "guidance_rescale": [0.0, 1.0],
                "seed": [0, limits.SEED_LIMIT],
                "images": [1, limits.IMAGES_LIMIT],
                "side_pixels": [8, limits.SIDE_LIMIT],
                "picture_pixels": PIXEL_LIMIT,
                "body_bytes": BODY_LIMIT,
            },
        }
    )


def _described(plugins: Mapping[str, Sampler | Schedule | PostProcessor]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": plugin.label,
            **({} if isinstance(plugin, PostProcessor) else {"aliases": list(plugin.aliases)}),
            **({"distilled": plugin.distilled} if isinstance(plugin, Sampler) else {}),
            "parameters": plugin.Params.model_json_schema(),
        }
        for name, plugin in sorted(plugins.items())
    ]
