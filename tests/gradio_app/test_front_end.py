"""The door: found by its entry point, cheap until a page is served."""

from __future__ import annotations

import subprocess
import sys

from calotype.frontend import discover


def test_it_is_found() -> None:
    assert "page" in [each.name for each in discover()]


def test_finding_it_imports_no_gradio() -> None:
    code = "import sys, calotype_gradio.front_end; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
