"""Finds a Python with GStreamer's bindings, which a virtual environment does not have."""

import subprocess
import sys
from pathlib import Path

PYTHONS = (sys.executable, "/usr/bin/python3")


def python_with(*namespaces: str) -> str | None:
    """The path of a Python with these GStreamer namespaces, or None."""
    needs = "import gi\n" + "".join(f"gi.require_version('{name}', '1.0')\n" for name in namespaces)
    there = [python for python in PYTHONS if Path(python).exists()]
    return next((it for it in there if not subprocess.run([it, "-c", needs], capture_output=True).returncode), None)
