"""The browser SDK without a browser: where it resumes, when it tries again, and what its package has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SDK = Path(__file__).parents[2] / "clients" / "sdk"
STYLE = SDK.parent / "dashboard" / "style.css"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node to run the SDK's own modules")


def run(program: str) -> Any:
    """What a program that imports modules of the SDK prints, as JSON."""
    assert NODE is not None
    command = [NODE, "--no-warnings", "--input-type=module", "-e", program.replace("SDK", SDK.as_uri())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def taken(connections: list[list[dict[str, Any]]], last_seq: int | None = 0) -> tuple[list[Any], int, bool]:
    """(what was new, as its seq or type; where to resume; whether to request everything again)."""
    program = f"""
        import {{ ResumeCursor }} from "SDK/resume_cursor.js";
        const cursor = new ResumeCursor({json.dumps(last_seq)});
        const taken = {json.dumps(connections)}.flatMap((messages) => {{
          cursor.connected();
          return messages.flatMap((message) => cursor.take(message)).map((it) => it.seq ?? it.type);
        }});
        console.log(JSON.stringify([taken, cursor.lastSeq, cursor.void]));
    """
    new, resume, void = run(program)
    return new, resume, void


def snapshot(last_seq: int, numbering: str = "one") -> dict[str, Any]:
    return {"type": "snapshot", "conversation": "demo", "last_seq": last_seq, "numbering": numbering, "speakers": []}


def event(seq: int) -> dict[str, Any]:
    return {"type": "emotion", "seq": seq}


@needs_node
def test_events_are_taken_once_and_a_lost_connection_is_resumed() -> None:
    first = [snapshot(3), event(1), event(2), event(2), event(1), event(3), {"type": "of the future", "seq": 4}]
    assert taken([first, [snapshot(6), event(4), event(5)]]) == (["snapshot", 1, 2, 3, 4, "snapshot", 5], 5, False)


@needs_node
def test_live_events_begin_after_the_snapshot() -> None:
    assert taken([[snapshot(7), event(7), event(8)]], None) == (["snapshot", 8], 8, False)


@needs_node
def test_an_engine_that_counts_anew_is_asked_for_everything() -> None:
    before = [snapshot(2), event(1), event(2)]
    assert taken([before, [snapshot(9, "other")]]) == (["snapshot", 1, 2, "resync", "snapshot"], 0, True)


@needs_node
def test_after_a_resync_the_snapshot_is_given_once_more() -> None:
    resync = {"type": "resync", "conversation": "demo", "requested_seq": 1, "last_seq": 80}
    assert taken([[snapshot(90), resync, event(81)]], 1) == (["snapshot", "resync", "snapshot", 81], 81, False)


@needs_node
def test_delays_double_up_to_a_limit_and_differ_between_clients() -> None:
    program = """
        import { retryDelayMs } from "SDK/retrying.js";
        const delays = [0, 1, 2, 9].flatMap((it) => [retryDelayMs(it, () => 0), retryDelayMs(it, () => 1)]);
        console.log(JSON.stringify(delays));
    """
    assert run(program) == [250, 500, 500, 1000, 1000, 2000, 7500, 15000]


@needs_node
def test_the_link_header_names_ice_servers() -> None:
    link = '<stun:a:3478>; rel="ice-server", <turn:b>; rel="ice-server"; username="me"; credential="x", <c>; rel="next"'
    program = f"""
        import {{ iceServers }} from "SDK/publish.js";
        console.log(JSON.stringify(iceServers({json.dumps(link)})));
    """
    assert run(program) == [{"urls": "stun:a:3478"}, {"urls": "turn:b", "username": "me", "credential": "x"}]


def test_the_package_has_every_module_and_its_types() -> None:
    package = json.loads((SDK / "package.json").read_text(encoding="utf-8"))
    named = {package["types"], *package["exports"]["."].values()}
    assert all((SDK / path).is_file() for path in named)
    assert "dependencies" not in package
    imported = {it for path in SDK.glob("*.js") for it in re.findall(r'from "(.*?)"', path.read_text(encoding="utf-8"))}
    assert imported == {f"./{path.name}" for path in SDK.glob("*.js")} - {"./cberl.js"}
    types = (SDK / "cberl.d.ts").read_text(encoding="utf-8")
    for name in re.findall(r"export (?:function |\{ )(\w+)", (SDK / "cberl.js").read_text(encoding="utf-8")):
        assert re.search(rf"export (?:function|const) {name}\b", types), name


def test_the_colours_of_the_overlay_are_those_of_the_dashboard_in_the_dark() -> None:
    rows = re.findall(r"(\w+): \{ letter: \"\w+\", colour: \"(#\w+)\" \}", (SDK / "emotions.js").read_text("utf-8"))
    css = STYLE.read_text(encoding="utf-8")
    assert len(rows) == 10
    for emotion, colour in rows:
        rule = re.search(rf'\[data-emotion="{emotion}"\][^{{]*{{[^}}]*light-dark\(#\w+, (#\w+)\)', css)
        assert rule is not None
        assert rule[1] == colour, emotion
