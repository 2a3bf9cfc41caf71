"""`cberl serve --record` and `cberl replay` as processes."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from engine.recording.container import RecordingError
from engine.replay.recorded import find_recordings
from testing.command import MAIN
from testing.live_engine import END, emotions, rest, start, stretch, until, ws
from testing.serving import served

MEDIA_S = 10.0


def replay(path: Path, *flags: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", MAIN, "replay", str(path), *map(str, flags)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(recording, its events as they were received): ten seconds in real time with interim events, three turns."""
    folder = tmp_path_factory.mktemp("live")

    async def main() -> None:
        flags = ("--record", "kept", "--rejoin-grace-s", "0", "--interim-ms", "1000", "--because")
        with served(folder, *flags) as server:
            assert "WARNING: the sound and pictures of all conversations are stored in kept" in server.log.read_text()
            async with (
                ws(server.url, "/events?conversation=deleted") as watcher,
                ws(server.url, "/ingest?conversation=deleted") as client,
            ):
                await client.send(start())
                await client.send(stretch(0.0, 0.1)[0])
                await client.send(END)
                await until(watcher, "conversation.ended")
            async with ws(server.url, "/ingest?conversation=live") as client, asyncio.TaskGroup() as tasks:
                heard = tasks.create_task(rest(client))
                loop = asyncio.get_running_loop()
                await client.send(start())
                began = loop.time()
                for number, message in enumerate(stretch(0.0, MEDIA_S)):
                    await asyncio.sleep(max(0.0, began + number // 2 * 0.1 - loop.time()))
                    await client.send(message)
                await client.send(END)
            assert any("recorded" in it["text"] for it in heard.result() if it["type"] == "disclosure")
            assert len(list((folder / "kept").iterdir())) == 2
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
                assert (await http.delete("/conversations/deleted")).status_code == 200
            server.assert_calm()
        events = folder / "live.jsonl"
        events.write_text("".join(json.dumps(it) + "\n" for it in heard.result()))

    asyncio.run(main())
    (recording,) = (folder / "kept").iterdir()
    return recording, folder / "live.jsonl"


@pytest.fixture(scope="module")
def replayed(live: tuple[Path, Path]) -> Path:
    """The events of a replay, as it printed them."""
    recording, _ = live
    done = replay(recording)
    assert done.returncode == 0, done.stderr.decode()
    expected = recording.parents[1] / "replayed.jsonl"
    expected.write_bytes(done.stdout)
    return expected


def test_a_replay_has_all_events_and_another_one_the_same_bytes(live: tuple[Path, Path], replayed: Path) -> None:
    events = [json.loads(line) for line in replayed.read_text().splitlines()]
    assert [it["seq"] for it in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "conversation.ended"
    assert [bool(it["because"]) for it in emotions(events) if it["status"] == "final"] == [False, True, True]
    assert [it["status"] for it in emotions(events)].count("final") == 3
    assert any(it["status"] == "interim" for it in emotions(events))
    again = replay(live[0], "--compare", replayed)
    assert (again.returncode, again.stdout) == (0, b""), again.stderr.decode()
    assert f"{len(events)} events are the same".encode() in again.stderr


def test_a_replay_has_the_finals_of_the_live_run(live: tuple[Path, Path]) -> None:
    recording, received = live
    done = replay(recording.parent, "--finals", "--compare", received)
    assert done.returncode == 0, done.stderr.decode()
    assert b"3 events are the same" in done.stderr


def test_a_recording_that_was_cut_off_gives_the_same_events_up_to_there(
    live: tuple[Path, Path], replayed: Path, tmp_path: Path
) -> None:
    cut = tmp_path / live[0].name
    cut.write_bytes(live[0].read_bytes()[: live[0].stat().st_size * 3 // 4])
    done = replay(cut, "--compare", replayed)
    assert done.returncode == 1
    assert b"was cut off" in done.stderr
    (number,) = re.findall(rb"replayed.jsonl: event (\d+) ", done.stderr)
    events = [json.loads(line) for line in replayed.read_text().splitlines()]
    assert int(number) > 4 + len([it for it in emotions(events) if it["end_s"] < 0.7 * MEDIA_S])


def test_what_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no recording")
    done = replay(tmp_path / "notes.txt")
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert b"notes.txt is not a recording of cberl serve --record" in done.stderr
    with pytest.raises(RecordingError, match="there is no recording"):
        find_recordings(Path(__file__).parent)
