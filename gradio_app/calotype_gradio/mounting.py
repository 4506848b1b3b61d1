"""Puts the page on the web application, with every door of Gradio shut that the page does not need."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import gradio as gr
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from calotype.frontend import Hosting
from calotype.studio import Studio
from calotype_gradio.guard import Guard
from calotype_gradio.page import build
from calotype_gradio.theme import HEAD, calotype

_FOREVER: Final = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
"""A picture's address is the hash of its bytes, so what lies there never changes."""
_MAX_UPLOAD: Final = "1kb"
"""The page takes no files at all: the guard refuses uploads, this is the second lock."""


def mount(app: FastAPI, hosting: Hosting) -> None:
    """Add the page, its pictures and the guard before both."""
    _serve_pictures(app, hosting.studio)
    app.add_middleware(Guard)
    gr.mount_gradio_app(
        app,
        build(hosting.studio),
        path="/",
        allowed_paths=[],
        blocked_paths=[str(hosting.home.folder.resolve())],
        ssr_mode=False,
        show_error=False,
        mcp_server=False,
        enable_monitoring=False,
        pwa=False,
        run_history=False,  # would keep every prompt in the browser's storage
        footer_links=[],
        max_file_size=_MAX_UPLOAD,
        favicon_path=str(Path(__file__).with_name("icon.png")),
        theme=calotype(),
        css_paths=[Path(__file__).with_name("style.css")],
        head=HEAD,
    )


def _serve_pictures(app: FastAPI, studio: Studio) -> None:
    """The stored file itself, not a copy in Gradio's cache: what is downloaded is what the ledger's hash names.

    Whoever knows the hash of a picture that was made here may see it; it is as hard to guess as a key. Those that
    people brought are not served: who has a picture could find out whether somebody else brought it.
    """

    @app.api_route("/page/pictures/{sha256}.png", methods=["GET", "HEAD"], include_in_schema=False)
    def picture(sha256: str, seed: int | None = None) -> Any:
        try:
            path = studio.drawn_path(sha256)
        except KeyError:
            raise HTTPException(404, "no such picture") from None
        name = f"calotype-{sha256[:8] if seed is None else seed}.png"
        return FileResponse(
            path, media_type="image/png", filename=name, content_disposition_type="inline", headers=_FOREVER
        )
