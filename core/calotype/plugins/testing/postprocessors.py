"""Checks of a post-processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from calotype.plugins.testing.check import Check, Fault, ends, global_chance_untouched, outcome, parameters
from calotype.postprocess import PictureInfo, PostProcessor
from calotype.sampling import Params

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES: Final = ((8, 8), (64, 48))
SLOW: Final = 5.0
"""Seconds for 256x256 pixels above which an author is warned: somebody waits for the picture."""
_INFO: Final = PictureInfo(seed=7, prompt="a lighthouse")


def picture(width: int, height: int) -> Image:
    """Gradients, edges and texture, the same each time."""
    import numpy as np
    from PIL import Image as images

    y, x = np.mgrid[:height, :width]
    rough = np.random.default_rng(0).integers(0, 40, (height, width))
    channels = [x * 3 % 216 + rough, y * 5 % 216 + rough, np.where((x // 9 + y // 7) % 2, 200, 30) + rough]
    return images.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def check_postprocessor(plugin: PostProcessor) -> list[Check]:
    """Everything the contract asks of a post-processor, on small pictures; one of 256x256 for the time."""
    measures: dict[str, Callable[[PostProcessor], str]] = {
        "parameters": _parameters,
        "result": _result,
        "same input": _same_input,
        "in place": _in_place,
        "global chance": _global_chance,
        "time": _time,
    }
    return [outcome(name, partial(measure, plugin)) for name, measure in measures.items()]


def _processed(plugin: PostProcessor, image: Image, params: Params, info: PictureInfo = _INFO) -> Image:
    """The result; fault if it is not the picture that was promised."""
    from PIL import Image as images

    scale = plugin.scale(params)
    if type(scale) is not int or scale < 1:
        raise Fault(f"scale() is {scale!r}; it must be a whole number, at least 1")
    due = (image.width * scale, image.height * scale)
    size = image.size
    result = plugin.process(image.copy(), info, params)
    if not isinstance(result, images.Image):
        raise Fault(f"process() returned {type(result).__name__}, not a PIL.Image.Image")
    if result.mode != "RGB":
        raise Fault(f"process() returned mode {result.mode}; RGB is due: end with image.convert('RGB')")
    if result.size != due:
        raise Fault("from {}x{} it made {}x{}; {}x{} is due by scale()".format(*size, *result.size, *due))
    return result


def _parameters(plugin: PostProcessor) -> str:
    said = parameters(plugin)
    for text, params in ends(plugin.Params):
        try:
            _processed(plugin, picture(64, 48), params)
        except Exception as error:
            named = "" if isinstance(error, Fault) else f"{type(error).__name__}: "
            raise Fault(f"with {text}: {named}{error}") from error
    return said


def _result(plugin: PostProcessor) -> str:
    made: list[str] = []
    if type(plugin.order) is not int:
        raise Fault(f"order is {plugin.order!r}; it must be a whole number")
    for width, height in SIZES:
        result = _processed(plugin, picture(width, height), plugin.Params())
        made.append(f"{width}x{height} to {result.width}x{result.height}")
    return f"RGB, of the size that scale() says: {', '.join(made)}; order {plugin.order}"


def _same_input(plugin: PostProcessor) -> str:
    params = plugin.Params()
    first = _processed(plugin, picture(64, 48), params).tobytes()
    # other work in between shows what is remembered
    other = _processed(plugin, picture(64, 48), params, PictureInfo(seed=8, prompt="a cat")).tobytes()
    _processed(plugin, picture(8, 8), params)
    if _processed(plugin, picture(64, 48), params).tobytes() != first:
        raise Fault("the same picture and seed come out differently the second time; take chance from info.seed alone")
    follows = "follows seed or prompt" if other != first else "independent of seed and prompt"
    return f"the same picture and seed come out the same; {follows}"


def _in_place(plugin: PostProcessor) -> str:
    image = picture(64, 48)
    plugin.process(image, _INFO, plugin.Params())
    if image.mode != "RGB" or image.size != (64, 48) or image.tobytes() != picture(64, 48).tobytes():
        raise Fault("it changes the picture it is given; work on image.copy()")
    return "the picture it is given stays as it was"


def _global_chance(plugin: PostProcessor) -> str:
    with global_chance_untouched():
        plugin.process(picture(64, 48), _INFO, plugin.Params())
    return "no global generator is drawn from"


def _time(plugin: PostProcessor) -> str:
    begun = time.perf_counter()
    result = _processed(plugin, picture(256, 256), plugin.Params())
    seconds = time.perf_counter() - begun
    warning = f"; warning: above {SLOW:g} s, and somebody waits for the picture" if seconds > SLOW else ""
    return f"{seconds:.2f} s for 256x256 to {result.width}x{result.height}{warning}"
