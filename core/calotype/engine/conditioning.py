"""Text to conditioning: what the prompt is to a network. Remembers the latest prompts."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from calotype.emphasis import plain
from calotype.engine.hints import advise
from calotype.engine.models import LoadedModel
from calotype.families.adapters import Chosen
from calotype.families.network import Prompt
from calotype.request import Request

_CACHED: Final = 256
"""Windows of text whose conditioning is remembered: 60 MB for Stable Diffusion 1.5."""


_IGNORED: Final = "this model was distilled from guided ones: it takes no negative prompt"


class TextEncoder:
    """Encodes by a model's own tokenizers and text encoders. Not for several threads at once."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[object, ...], Prompt] = OrderedDict()

    def pair(self, model: LoadedModel, prompt: str, negative: str, loras: Chosen = ()) -> tuple[Prompt, Prompt]:
        """Prompt and negative prompt as the two rows of one model call: of the same length.

        The shorter one is filled up with windows of the empty prompt, which is what no guidance looks like. The
        length is part of the key by which runs share calls: nobody is filled up for somebody else's long prompt, so
        a picture stays the same in any company and a short prompt costs no more than before.
        """
        with model.network.adapters.use(loras):
            found = self.encode(model, prompt, loras=loras), self.encode(model, negative, negative=True, loras=loras)
            windows = max(each.windows for each in found)
            first, second = (model.network.filled(each, windows) for each in found)
        return first, second

    def encode(self, model: LoadedModel, text: str, *, negative: bool = False, loras: Chosen = ()) -> Prompt:
        """The conditioning of a prompt, as long as it needs, or of what guidance leads away from."""
        key = (model.sha256, text, negative, tuple((lora.sha256, weight) for lora, weight in loras))
        if key not in self._cache:
            network = model.network
            self._cache[key] = network.encode_negative(text) if negative else network.encode_text(text)
            while len(self._cache) > 1 and sum(each.windows for each in self._cache.values()) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]


def notes(model: LoadedModel, prompt: Prompt, request: Request, job_id: str) -> tuple[str, ...]:
    """What can be said of a prompt's pictures before they are there. Does not raise; the log names the job."""
    text = request.prompt
    ignored = request.negative_prompt and model.info.facts.guidance != "pair"
    lost = f"the last {prompt.tokens_lost} tokens of the prompt did not fit and were not read"
    hint = advise(model.hints, plain(text), job_id)
    return tuple(filter(None, (lost if prompt.tokens_lost else None, _IGNORED if ignored else None, hint)))
