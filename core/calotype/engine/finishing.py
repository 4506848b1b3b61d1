"""From final latents to a PNG file: autoencoder, post-processors, reviews, encoder."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from PIL import Image

from calotype.engine.assignment import Rendered
from calotype.engine.conditions import PNG_LEVEL
from calotype.engine.reviewing import review
from calotype.engine.run import Run
from calotype.engine.watchdog import Abandoned, account, calling, said
from calotype.postprocess import PIXEL_LIMIT, PictureInfo

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
log = logging.getLogger(__name__)


def render(run: Run, notes: tuple[str, ...] = (), skip: Mapping[str, str] = _NONE) -> Rendered:
    """Decode, post-process, review and encode one run's picture.

    A post-processor that fails is skipped, and a note says so. ``skip`` names what not to try: post-processors, with
    their notes, and reviews. Of a picture that is refused nothing is encoded.
    """
    assert run.latents is not None
    begun = time.perf_counter()
    rgb = run.denoiser.model.decode(run.latents)
    if run.start is not None and run.start.mask is not None:  # an autoencoder alters even what it was only to keep
        rgb = run.start.mask.paste(rgb)
    array = (rgb * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array, "RGB")
    decoded = time.perf_counter()
    assignment = run.assignment
    info = PictureInfo(run.seed, assignment.request.prompt)
    for plugin, params in assignment.postprocess:
        if plugin.name in skip:
            notes = (*notes, skip[plugin.name])
            continue
        with calling(assignment, "post-processor", plugin.name):
            try:
                image = _checked(plugin.process(image.copy(), info, params))
            except Abandoned:  # it came back too late: another thread has the picture
                raise
            except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; the picture is delivered without it
                why, where = said(error), account(error)  # inside the call, and before the log's lock is taken
                log.warning("job %s: post-processor %s was skipped\n%s", assignment.job_id, plugin.name, where)
                notes = (*notes, f"{plugin.label} was skipped: {why}")
    processed = time.perf_counter()
    found = review(assignment, image, skip)
    reviewed = time.perf_counter()
    buffer = io.BytesIO()
    if found.refusal is None:
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    seconds = {"decode": decoded - begun, "postprocess": processed - decoded, "png": time.perf_counter() - reviewed}
    if assignment.reviews.reviewers:
        seconds["review"] = reviewed - processed
    return Rendered(
        run.index,
        run.seed,
        buffer.getvalue(),
        image.width,
        image.height,
        (*notes, *found.notes),
        seconds,
        found.refusal,
        found.plugin,
    )


def _checked(image: object) -> Image.Image:
    if not isinstance(image, Image.Image) or image.mode != "RGB":
        raise ValueError("it did not return an RGB picture")
    if not 0 < image.width * image.height <= PIXEL_LIMIT:
        raise ValueError(f"it returned {image.width}x{image.height}; at most 16 megapixels")
    return image
