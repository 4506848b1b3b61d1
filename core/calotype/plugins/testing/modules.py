"""Check of a plugin's module: what importing it costs everybody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Final

from calotype.plugins.testing.check import Check, Fault, outcome

HEAVY: Final = ("torch", "diffusers", "transformers")
_CODE: Final = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
for name in dir(module):
    if hasattr(getattr(module, name), "calotype_impl") and "_review_" not in name:  # the mark that hookimpl leaves
        list(getattr(module, name)())
print()  # whatever the module printed ends here
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


def check_import(module: str) -> list[Check]:
    """Whether importing the module and asking its hooks imports torch, seen in a fresh process."""
    return [outcome("import", lambda: _import(module))]


def _import(module: str) -> str:
    begun = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own words and a module that is installed
        [sys.executable, "-c", _CODE, module, *HEAVY],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise Fault(f"importing {module} fails: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    if heavy := done.stdout.splitlines()[-1].split():
        raise Fault(f"{module} imports {', '.join(heavy)}; do so inside run() or process(), not above")
    return f"{module} imports no torch, {time.perf_counter() - begun:.1f} s in a fresh process"
