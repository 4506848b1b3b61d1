"""The web page as a front end: it serves nothing by itself, it is mounted on the web application at ``/``."""

from __future__ import annotations

from typing import Any

from calotype.frontend import FrontEnd, Hosting


class Page(FrontEnd):
    """A page for people without an account anywhere: type, look, keep the seed."""

    name = "page"

    def mount(self, app: Any, hosting: Hosting) -> None:
        """Add the page at ``/``. Routes that are registered before keep their paths."""
        from calotype_gradio.mounting import mount  # gradio takes seconds to import: only where a page is served

        mount(app, hosting)
