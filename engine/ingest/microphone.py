"""What FFmpeg calls this machine's microphone, and where its sound libraries find theirs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

MICROPHONE = "mic"
DEVICES = {"linux": ("default", "alsa"), "darwin": (":default", "avfoundation")}

# PyAV's wheel has a libasound of its own, which looks where its wheel was built. Others' come first.
ALSA_FOLDERS = {
    "ALSA_CONFIG_DIR": ("usr/share/alsa",),
    "ALSA_PLUGIN_DIR": ("usr/lib/*/alsa-lib", "usr/lib64/alsa-lib", "usr/lib/alsa-lib"),
}

NOT_THERE = {
    "alsa": "plug one in, and see that `arecord -d 1 test.wav` works (package alsa-utils; where PulseAudio or PipeWire "
    "has the microphone, also libasound2-plugins)",
    "avfoundation": "allow this terminal the microphone in System Settings, Privacy & Security",
}


def microphone() -> tuple[str, str | None]:
    """(address, FFmpeg's name for this kind of device), once its libraries know where to look."""
    address, kind = DEVICES.get(sys.platform, ("default", None))
    if kind == "alsa":
        for variable, folders in ALSA_FOLDERS.items():
            if found := next(_there(folders), None):
                os.environ.setdefault(variable, str(found))
    return address, kind


def advice(problem: str) -> str:
    """What to do where it cannot be opened, in one sentence."""
    kind = DEVICES.get(sys.platform, ("", None))[1]
    hint = NOT_THERE.get(kind or "", "publish from the page /call of `cberl serve` instead")
    return f"The microphone cannot be opened ({problem}): {hint}."


def _there(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(Path("/").glob(folder))
