"""The examples for LiveKit, Jitsi and Daily, checked by TypeScript against the types that these publish."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED = Path(os.environ.get("CALL_TYPES", ROOT / ".call-types"))
SDK = ROOT / "clients" / "sdk" / "cberl.js"
GIVEN = f"""
import {{ emotionOverlay, publish }} from {json.dumps(SDK.as_posix())};
declare const call: {{ url: string; conversation: string; token: () => Promise<string> }};
"""
OF_LIBRARY = {
    "LiveKit": 'import { Room, RoomEvent, Track } from "livekit-client";\ndeclare const room: Room;',
    # A fork of lib-jitsi-meet, which publishes no types itself. Its `on` does not say what a listener receives.
    "Jitsi": """
import Local from "@lyno/lib-jitsi-meet/dist/modules/RTC/JitsiLocalTrack";
import Remote from "@lyno/lib-jitsi-meet/dist/modules/RTC/JitsiRemoteTrack";
import JitsiMeetJS from "@lyno/lib-jitsi-meet";
import Conference from "@lyno/lib-jitsi-meet/dist/JitsiConference";
type On = (event: Parameters<Conference["on"]>[0], listener: (track: Local | Remote) => void) => void;
declare const conference: Omit<Conference, "on"> & { on: On };""",
    "Daily": 'import type { DailyCall } from "@daily-co/daily-js";\ndeclare const daily: DailyCall;',
}
OPTIONS = "--noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom"


@pytest.mark.skipif(
    not INSTALLED.is_dir() or not shutil.which("node"), reason="no types of call libraries: make call-types"
)
@pytest.mark.parametrize("library", OF_LIBRARY)
def test_the_example_has_the_names_and_types_of_the_library(library: str) -> None:
    page = (ROOT / "docs" / "integrate-a-call.md").read_text(encoding="utf-8")
    (example,) = re.findall(rf"^{library} \(.*?```ts\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    source = INSTALLED / f"{library}.ts"
    source.write_text(f"{OF_LIBRARY[library]}{GIVEN}{example}", encoding="utf-8")
    command = [INSTALLED / "node_modules" / ".bin" / "tsc", *OPTIONS.split(), source.name]
    done = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    source.write_text(source.read_text("utf-8").replace("publish(", "publish(1, "), encoding="utf-8")
    assert subprocess.run(command, cwd=INSTALLED, capture_output=True).returncode != 0  # it would be noticed
