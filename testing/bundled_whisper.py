"""The bundled Whisper model, which most tests hear with."""

from pathlib import Path

import pytest

from engine.speech.whisper_store import INSTALL_BUNDLE, bundled


def require_whisper() -> Path:
    """Its folder; skips the test where it is not installed."""
    folder = bundled()
    if folder is None:
        pytest.skip(f"needs the bundled Whisper model: {INSTALL_BUNDLE}")
    return folder
