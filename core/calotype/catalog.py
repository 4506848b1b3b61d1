"""Catalog: what can be asked for here, and the one place where a request meets it."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from calotype.checkpoint import ModelInfo
from calotype.errors import BadRequest, Problem, SetupError
from calotype.loras import Loras, check_weights, taken_out, text_width
from calotype.plugins.registry import Registry
from calotype.postprocess import PIXEL_LIMIT, PostProcessor
from calotype.request import SEED_LIMIT, Options, Request, problems
from calotype.sampling import Params

T = TypeVar("T")
A = TypeVar("A")
log = logging.getLogger(__name__)


class Catalog:
    """Models by name and the plugins' registry. The first model is the default."""

    def __init__(self, registry: Registry, models: list[ModelInfo], loras: Loras | None = None) -> None:
        self.registry = registry
        self.loras = loras or Loras()
        self.models: Mapping[str, ModelInfo] = {}
        self._adding = threading.Lock()
        for model in models:
            self.add_model(model)
        self.default_model = models[0].name

    def add_model(self, model: ModelInfo) -> None:
        """Offer one more model. Raises :class:`SetupError` if its name is taken or its defaults are not installed."""
        other = self.models.get(model.name)
        if other is not None and other.folder != model.folder:
            raise SetupError(f"model: the name {model.name!r} is taken by {other.folder}; rename the folder")
        registry = self.registry
        needs: list[tuple[str, str, Mapping[str, object]]] = [
            ("sampler", model.defaults.sampler, registry.samplers),
            ("schedule", model.defaults.schedule, registry.schedules),
            *(("postprocess", name, registry.postprocessors) for name in model.postprocess),
        ]
        for kind, name, known in needs:
            if name not in known:
                raise SetupError(f"model: {model.folder / 'calotype.json'}: {kind} {name!r} is not installed")
        with self._adding:
            before = self.models
            self.models = {**before, model.name: model}  # others are looking through the old one
            try:
                self.size_choices(model)  # its own defaults must be something that can be asked for
            except BadRequest as error:
                self.models = before
                raise SetupError(f"model: {model.folder / 'calotype.json'}: {error}") from None

    def remove_model(self, name: str) -> None:
        """Offer it no more. If it was the default, another one is."""
        with self._adding:
            self.models = {other: model for other, model in self.models.items() if other != name}
            if self.default_model == name:
                self.default_model = next(iter(self.models))

    def model(self, request: Request) -> ModelInfo:
        """The model of a resolved request."""
        return self.models[request.model or self.default_model]

    def resolve(self, request: Request) -> Request:
        """The same request with nothing left open and everything checked against what is installed.

        Raises :class:`BadRequest`. Resolving twice changes nothing.
        """
        model = _choose("model", request.model or self.default_model, self.models)
        sampler = self._plugin("sampler", request.sampler or model.defaults.sampler, self.registry.samplers)
        schedule = self._plugin("schedule", request.schedule or model.defaults.schedule, self.registry.schedules)
        width = request.width or model.default_size[0]
        height = request.height or model.default_size[1]
        model.check_size(width, height)
        prompt, loras = self._loras(request, model)
        resolved = request.model_copy(
            update={
                "prompt": prompt,
                "loras": loras,
                "model": model.name,
                "sampler": sampler.name,
                "schedule": schedule.name,
                "steps": request.steps or model.defaults.steps,
                "guidance": _first(request.guidance, model.defaults.guidance),
                "guidance_rescale": _first(request.guidance_rescale, model.defaults.guidance_rescale),
                "seed": _first(request.seed, secrets.randbelow(SEED_LIMIT + 1)),
                "width": width,
                "height": height,
                "options": self._options(request.options, model, sampler.name, schedule.name),
                "strength": _first(request.strength, model.defaults.strength) if request.init_image else None,
                "mask": request.mask if request.init_image else None,
            }
        )
        self._check_delivered_size(resolved)
        return resolved

    def params(self, request: Request, name: str) -> Params:
        """The validated parameters that a resolved request gives to the plugin ``name``."""
        given = request.options.get(name, {})
        return self._params(name, given if isinstance(given, dict) else {})

    def postprocess_chain(self, request: Request) -> list[tuple[PostProcessor, Params]]:
        """Post-processors of a resolved request with their parameters, in the order in which they run."""
        known = self.registry.postprocessors
        wanted = [known[name] for name, value in request.options.items() if name in known and value is not False]
        return [(each, self.params(request, each.name)) for each in sorted(wanted, key=lambda p: (p.order, p.name))]

    def cost(self, request: Request) -> float:
        """Rows × megapixels × model calls × the model's relative cost: what fairness counts."""
        assert request.steps and request.sampler and request.width and request.height and request.guidance
        rows = self.model(request).rows(request.guidance)
        sampler = self.registry.samplers[request.sampler]
        calls = _figure("sampler", sampler.label, sampler.calls, request.steps_done)
        megapixels = request.width * request.height / 1e6
        return rows * megapixels * calls * request.images * self.model(request).relative_cost

    def delivered_size(self, request: Request) -> tuple[int, int]:
        """Width and height in pixels of the picture as it is delivered."""
        assert request.width and request.height
        width, height = request.width, request.height
        for plugin, params in self.postprocess_chain(request):
            scale = _figure(f"options.{plugin.name}", plugin.label, plugin.scale, params)
            width, height = width * scale, height * scale
        return width, height

    def size_choices(self, model: ModelInfo) -> dict[str, dict[str, Any]]:
        """Delivered sizes of a model, ``"256x256"`` → the request fields that give it; the default comes first."""
        choices: dict[str, dict[str, Any]] = {}
        sizes = sorted(model.sizes, key=lambda size: size != model.default_size)
        unenlarged: Options = dict.fromkeys(model.postprocess, False)
        for options in ({}, unenlarged):
            for width, height in sizes:
                fields: dict[str, Any] = {"width": width, "height": height, "options": options}
                probe = self.resolve(Request(prompt="size", model=model.name, **fields))
                choices.setdefault("{}x{}".format(*self.delivered_size(probe)), fields)
        return choices

    def _loras(self, request: Request, model: ModelInfo) -> tuple[str, dict[str, float]]:
        """The prompt without its tags; all LoRA that are wanted, each known and of a kind that may fit the model."""
        prompt, tagged = taken_out(request.prompt)
        if not prompt:
            raise BadRequest.of("prompt", "has nothing but LoRA in it; describe the picture in a few words as well")
        wanted = {**request.loras, **tagged}
        check_weights(wanted)
        for name in wanted:
            width = text_width(self.loras.find(name), name)
            if width not in (None, model.facts.text_width):
                told = f"text of width {width}; that of {model.name} is {model.facts.text_width}"
                raise BadRequest.of(f"loras.{name}", f"is for another kind of model, with {told}")
        return prompt, wanted

    def _plugin(self, field: str, asked: str, known: Mapping[str, T]) -> T:
        """A sampler or schedule by its name or an alias."""
        name = self.registry.name_of(asked)
        return known[name] if name in known else _choose(field, asked, known, self._off())

    def _options(self, given: Options, model: ModelInfo, sampler: str, schedule: str) -> Options:
        registry = self.registry
        options: Options = {name: {} for name in model.postprocess}
        options.update({name: {} for name in (sampler, schedule) if registry.params_of(name) is not None})
        for name, value in self._by_own_names(given).items():
            if name in registry.postprocessors:
                options[name] = {} if value is True else value
            elif registry.params_of(name) is None:
                known = ", ".join(sorted({*registry.postprocessors, sampler, schedule}))
                raise BadRequest.of(f"options.{name}", f"no such plugin; there are {known}{self._off()}")
            elif name not in (sampler, schedule):
                raise BadRequest.of(f"options.{name}", f"is not used: sampler is {sampler}, schedule is {schedule}")
            elif isinstance(value, dict):
                options[name] = value
            else:
                raise BadRequest.of(f"options.{name}", "takes parameters; only a post-processor is true or false")
        filled: Options = {}
        for name, value in options.items():
            filled[name] = (
                value
                if value is False
                else self._params(name, value if isinstance(value, dict) else {}).model_dump(mode="json")
            )
        return {name: value for name, value in filled.items() if value != {} or name in registry.postprocessors}

    def _by_own_names(self, given: Options) -> Options:
        named: Options = {}
        for asked, value in given.items():
            name = self.registry.name_of(asked)
            if name in named:
                raise BadRequest.of(f"options.{asked}", f"{name} is given twice, by different names; keep one")
            named[name] = value
        return named

    def _params(self, name: str, values: Mapping[str, Any]) -> Params:
        kind = self.registry.params_of(name)
        assert kind is not None
        try:
            return kind.model_validate(dict(values))
        except ValidationError as error:
            found = problems(error, f"options.{name}.")
            fields = ", ".join(kind.model_fields) or "none"
            raise BadRequest(
                *(Problem(p.field, f"{p.message} (parameters of {name}: {fields})") for p in found)
            ) from None

    def _off(self) -> str:
        """A hint at installed plugins that are off: the likeliest reason why a name is not known."""
        names = [info.name for info in self.registry.plugins if not info.on]
        return f" (installed, but off: {', '.join(names)}; see calotype plugins list)" if names else ""

    def _check_delivered_size(self, request: Request) -> None:
        width, height = self.delivered_size(request)
        if width * height > PIXEL_LIMIT:
            limit = f"{PIXEL_LIMIT // 2**20} megapixels"
            raise BadRequest.of("width, height", f"the picture would be {width}x{height}; at most {limit}")


def _choose(field: str, name: str, known: Mapping[str, T], hint: str = "") -> T:
    if name not in known:
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        raise BadRequest.of(field, f"{shown!r} is not one of {', '.join(known)}{hint}")
    return known[name]


def _figure(field: str, label: str, ask: Callable[[A], int], argument: A) -> int:
    """A whole number above zero that a plugin states; a stranger's may raise, or state anything."""
    try:
        answer = ask(argument)
    except Exception as error:
        log.exception("plugin %s failed", label)
        raise BadRequest.of(field, f"{label} is broken ({type(error).__name__}); choose another one") from None
    if not isinstance(answer, int) or answer < 1:
        raise BadRequest.of(field, f"{label} is broken (it states {answer!r:.40}); choose another one")
    return answer


def _first(value: Any, default: Any) -> Any:
    return default if value is None else value
