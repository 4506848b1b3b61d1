"""The command line. Imports nothing heavy: help and every answer to bad input come at once."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.exceptions import TyperException

from calotype import __version__
from calotype.cli_db import db_app
from calotype.cli_history import history_app
from calotype.cli_models import models_app
from calotype.cli_moderation import moderation_app
from calotype.cli_people import people_app
from calotype.cli_plugins import plugins_app
from calotype.cli_schedule import schedule_app
from calotype.errors import YOURS, CalotypeError
from calotype.request import GUIDANCE_LIMIT, IMAGES_LIMIT, STEPS_LIMIT

log = logging.getLogger(__name__)
app = typer.Typer(
    help="Calotype: pictures from words, made on your own machine.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models_app, name="models")
app.add_typer(plugins_app, name="plugins")
app.add_typer(db_app, name="db")
app.add_typer(people_app, name="people")
app.add_typer(schedule_app, name="schedule")
app.add_typer(history_app, name="history")
app.add_typer(moderation_app, name="moderation")


@app.command()
def imagine(
    prompt: Annotated[str, typer.Argument(help="What the picture shows, e.g. 'blue cat'.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG file; several are numbered.")] = None,
    negative: Annotated[str | None, typer.Option(help="What it should not show.")] = None,
    steps: Annotated[int | None, typer.Option(help=f"Steps of the sampler, 1 to {STEPS_LIMIT}.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler by name, e.g. euler.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Schedule of noise levels by name, e.g. karras.")] = None,
    guidance: Annotated[float | None, typer.Option(help=f"Pull towards the prompt, 1 to {GUIDANCE_LIMIT:g}.")] = None,
    guidance_rescale: Annotated[float | None, typer.Option(help="Share of rescaled guidance, 0 to 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same picture.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels, of the model's own picture.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels, of the model's own picture.")] = None,
    images: Annotated[int | None, typer.Option(help=f"Number of pictures, 1 to {IMAGES_LIMIT}.")] = None,
    model: Annotated[str | None, typer.Option(help="Model by name, or a diffusers folder.")] = None,
    init: Annotated[Path | None, typer.Option(help="Picture to start from: PNG, JPEG or WebP.")] = None,
    strength: Annotated[float | None, typer.Option(help="How much of it to change, above 0, to 1.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Which part of it to repaint: a picture, white there.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PLUGIN.PARAM=VALUE", help="A plugin's parameter; or PLUGIN=on, PLUGIN=off."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Make pictures and write them to files. The running server makes them if there is one."""
    from calotype.cli_imagine import Wish, run

    fields = {
        "prompt": prompt, "negative_prompt": negative, "steps": steps, "sampler": sampler, "schedule": schedule,
        "guidance": guidance, "guidance_rescale": guidance_rescale, "seed": seed, "width": width, "height": height,
        "images": images, "model": model, "strength": strength,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    return run(Wish(given, sets or [], output, as_json, time.monotonic(), init, mask))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 7860]")] = None,
    model: Annotated[Path | None, typer.Option(help="Diffusers folder to offer as the default model.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Be this part only: page, bot, worker; may be repeated. Needs PostgreSQL."),
    ] = None,
) -> int:
    """Run the service with every front end: web page, HTTP API."""
    from calotype.serve import run

    return run(host=host, port=port, model=model, only=only or ())


@app.command()
def bench(
    model: Annotated[Path | None, typer.Option(help="Diffusers folder to measure instead of the default.")] = None,
    steps: Annotated[int, typer.Option(min=1, max=STEPS_LIMIT, help="Steps of each job; of a slow model fewer.")] = 8,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"] | None,
        typer.Option(help="Where the model runs. [default: CALOTYPE_DEVICE]"),
    ] = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, max=256, hidden=True)] = None,
    slots: Annotated[list[int] | None, typer.Option(min=1, max=64, hidden=True)] = None,
) -> int:
    """Measure this machine and recommend slots and threads. Changes nothing.

    Takes up to about two minutes for each number of threads it tries, three at most: of a slow model it measures less.
    One step of one picture is always done, twice, however long it takes.
    """
    from calotype.cli_bench import bench as measured
    from calotype.cli_bench import show

    typer.echo(show(measured(model, steps, device, threads, slots)))
    return 0


@app.command()
def verify(
    what: Annotated[str, typer.Argument(metavar="FILE|JOB", help="A picture made here, or a job's id.")],
    index: Annotated[int | None, typer.Option(min=0, help="Only that picture of the job, from 0.")] = None,
    model: Annotated[Path | None, typer.Option(help="Diffusers folder to make it with, if it has moved.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="CPU threads of a model call. [default: as then]")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda", "mps"] | None, typer.Option(help="Where the model runs. [default: as then]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Make a picture again and say whether it is the same. Changes nothing.

    Exit code 0: the same, or as close as other conditions may make it. 1: different. 2: nothing to verify.
    """
    from calotype.cli_verify import Wish
    from calotype.cli_verify import run as verified

    return verified(Wish(what, index, model, threads, device, as_json))


@app.command()
def version() -> int:
    """Print the version."""
    typer.echo(f"calotype {__version__}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done · 1 the job or the service failed · 2 bad input or setup, one line on stderr · 130 Ctrl-C · 143 SIGTERM.
    """
    try:
        words = list(sys.argv[1:] if argv is None else argv)
        code = app(args=words or ["--help"], standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TyperException as error:
        return _say(_usage(error), error.exit_code)
    except CalotypeError as error:
        return _say(str(error), 2 if isinstance(error, YOURS) else 1)
    except KeyboardInterrupt:
        return 130
    except asyncio.CancelledError:  # SIGTERM
        return 143
    except Exception as error:  # the last resort: the log has the traceback, the terminal a line
        log.exception("unexpected error")
        return _say(f"unexpected: {type(error).__name__}: {error}", 1)


def _usage(error: TyperException) -> str:
    """What the parser found, as ``field: message``."""
    parameter = getattr(error, "param", None)
    field = getattr(parameter, "name", None) or getattr(error, "option_name", None)
    if not field:
        return error.format_message()
    names = {"as_json": "json", "sets": "set", "what": "FILE|JOB"}
    message = getattr(error, "message", "") or "is missing; it is required"
    return f"{names.get(field, field).lstrip('-')}: {message}"


def _say(message: str, code: int) -> int:
    """One line on stderr, whatever the message holds."""
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
