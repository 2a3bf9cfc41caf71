"""`cberl run` and `cberl export` as processes: what they read, write, say, and how they end."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import srt
import webvtt

from engine.export.formats import FORMATS
from engine.store.database import open_database
from testing.bundled_whisper import require_whisper
from testing.command import MAIN
from testing.recordings import tone, write_talk, write_wav
from testing.serving import served

JIT = "ignore:`torch.jit.script:DeprecationWarning"  # see pyproject.toml
CBERL = [sys.executable, "-W", "error", "-W", JIT, "-c", MAIN]
FAST = ("--whisper-model", "tiny.en", "--diarize", "off")

Done = subprocess.CompletedProcess[str]
Cberl = Callable[..., Done]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """calls/a.wav with two people, calls/deep/b.wav with both on one channel, and files that are no recordings."""
    require_whisper()
    folder = tmp_path_factory.mktemp("recordings")
    write_talk(folder / "calls" / "a.wav")
    write_talk(folder / "calls" / "deep" / "b.wav", mono=True)
    (folder / "calls" / "notes.txt").write_text("no sound\n")
    (folder / "calls" / "broken.mp3").write_text("no sound\n")
    write_wav(folder / "calls" / ".hidden" / "c.wav", tone(200, 1)[None])
    return folder


@pytest.fixture
def cberl(tmp_path: Path) -> Cberl:
    """In an empty folder."""
    root = str(Path(__file__).parents[3])

    def run(*args: object, stdin: bytes = b"") -> Done:
        environment = os.environ | {"PYTHONPATH": root, "COLUMNS": "100", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [*CBERL, *map(str, args)], cwd=tmp_path, env=environment, capture_output=True, input=stdin
        )
        return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def test_folders_are_searched_and_a_file_that_cannot_be_read_does_not_stop_the_others(
    cberl: Cberl, recordings: Path, tmp_path: Path
) -> None:
    done = cberl("run", recordings / "calls", "nowhere.wav", "*.ogg", *FAST, "--output", "out", "--format", "vtt")
    assert done.returncode == 1
    assert done.stdout == ""
    left_out = [line for line in done.stderr.splitlines() if line.startswith("WARNING: left out: ")]
    assert [line.rpartition("/")[2] for line in left_out] == [
        "broken.mp3 cannot be read as media: Invalid data found when processing input",
        "WARNING: left out: nowhere.wav is missing: check the path",
        "WARNING: left out: no file matches *.ogg",
    ]
    assert "b.wav has all voices on one track, which counts as one speaker" in done.stderr
    assert "Error: 3 of the inputs could not be read completely:" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vtt", "b.vtt"]
    assert {cue.voice for cue in webvtt.read(str(tmp_path / "out" / "a.vtt"))} == {"speaker-1", "speaker-2"}
    assert {cue.voice for cue in webvtt.read(str(tmp_path / "out" / "b.vtt"))} == {"speaker-1"}


def test_a_recording_without_sound_does_not_stop_the_others(cberl: Cberl, recordings: Path, tmp_path: Path) -> None:
    good = recordings / "calls" / "a.wav"
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    done = cberl("run", "empty.wav", good, *FAST, "-q", "-o", "all.csv", "-o", "all.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: 1 of the inputs could not be read completely:\nempty.wav has an audio stream, but no" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(pandas.read_csv(tmp_path / "all.csv")["conversation"]) == {"a"}
    assert set(pandas.read_json(tmp_path / "all.jsonl", lines=True)["conversation"]) == {"a"}


def test_standard_input_is_a_recording_and_results_can_go_to_standard_output(cberl: Cberl, recordings: Path) -> None:
    talk = (recordings / "calls" / "a.wav").read_bytes()
    done = cberl("run", "-", *FAST, "--format", "srt", stdin=talk)
    assert done.returncode == 0
    assert len(list(srt.parse(done.stdout))) >= 3
    summary = done.stderr[done.stderr.index("stdin: 2 people, ") :]
    assert re.match(r"stdin: 2 people, \d turns; 0:1\d of media in \d+\.\d s, \d+\.\d times real time\n", summary)
    assert re.search(r"^  speaker-1: \d turns?, 0:0\d of speech; \w+ \d+%", summary, re.MULTILINE)
    assert "cberl-" not in cberl("run", "-", *FAST, "--format", "eaf", stdin=talk).stdout  # the file is gone
    nothing = cberl("run", "-", *FAST)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "stdin cannot be read as media" in nothing.stderr


def test_what_cannot_be_written_is_reported_before_models_are_loaded(
    cberl: Cberl, recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    calls = recordings / "calls"
    for given, says in (
        (("--output", "a.doc"), "a.doc: the suffix names no format: use one of .jsonl"),
        (("--output", "folder"), "folder is a folder: say with --format which files to write there"),
        (("--format", "eaf"), "a file in format eaf holds one conversation: for several, name a folder"),
        (("--output", "all.html"), "a file in format html holds one conversation"),
    ):
        done = cberl("run", calls, *given, "--checkpoint", "nowhere")
        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr
    mixed = cberl("run", "mic", calls)
    assert (mixed.returncode, "mic is read until it ends" in mixed.stderr) == (2, True)


def test_recordings_in_the_event_log_are_served_and_exported(cberl: Cberl, recordings: Path, tmp_path: Path) -> None:
    talk = recordings / "calls" / "a.wav"
    for _ in range(2):  # the second time as another conversation
        done = cberl("run", talk, *FAST, "--event-log", "events.db", "--keep-text", "--json")
        assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["conversation"] for event in printed} == {"a-2"}
    listed = cberl("export", "events.db", "--list").stdout
    assert re.findall(r"^ (a\S*) +\d{4}-\d\d-\d\d \d\d:\d\d", listed, re.MULTILINE) == ["a-2", "a"]
    exported = cberl("export", "events.db", "a-2")
    assert [json.loads(line) for line in exported.stdout.splitlines()] == printed
    for name, form in FORMATS.items():
        written = cberl("export", "events.db", "a", "-o", f"a{form.suffixes[0]}")
        assert (written.returncode, written.stderr) == (0, f"written: a{form.suffixes[0]}\n"), name
    assert cberl("export", "events.db", "-o", "all.csv").returncode == 0
    assert set(pandas.read_csv(tmp_path / "all.csv")["conversation"]) == {"a", "a-2"}
    (tmp_path / "printed.jsonl").write_text(done.stdout)
    assert cberl("export", "printed.jsonl", "-o", "again.vtt").returncode == 0
    with served(tmp_path, "--event-log", "events.db") as server:
        busy = cberl("export", "events.db")
        assert busy.stderr == "Error: events.db is in use by an engine: name its address, http://127.0.0.1:8765\n"
        over_http = cberl("export", server.url, "a-2")
        assert over_http.stdout == exported.stdout
        assert "has no conversation b: --list shows all" in cberl("export", server.url, "b").stderr


def test_what_is_no_source_of_conversations_is_one_sentence(cberl: Cberl, recordings: Path, tmp_path: Path) -> None:
    shutil.copy(recordings / "calls" / "a.wav", tmp_path / "a.wav")
    (tmp_path / "lines.jsonl").write_text('{"type":"none"}\n')
    open_database(str(tmp_path / "empty.db")).close()
    for source, says in (
        ("nowhere.db", "nowhere.db is no file: name an event log, the address of an engine, or JSON Lines"),
        ("a.wav", "a.wav is neither an event log nor JSON Lines"),
        ("lines.jsonl", "lines.jsonl: line 1 is not an event of an engine"),
        ("empty.db", "empty.db has no conversations"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1 does not answer"),
    ):
        done = cberl("export", source)
        assert (done.returncode, done.stdout, done.stderr.count("Error: ")) == (1, "", 1), source
        assert says in done.stderr


def test_on_a_terminal_progress_is_shown_and_the_table_stays_whole(recordings: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*CBERL, "run", str(recordings / "calls" / "a.wav"), *FAST]
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # the terminal has no writer any more
            os.close(ours)
        assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
    assert "loading models" in text
    assert re.search(r"a\.wav .*%", text)
    assert re.search(r"^ *0:\d\d\.\d +speaker-[12] ", text, re.MULTILINE)
    assert '"type"' not in text
    assert "times real time" in text


def test_the_help_has_the_options_of_the_command_first_and_settings_by_group(cberl: Cberl) -> None:
    for command in ("run", "serve"):
        text = cberl(command, "--help").stdout
        titles = re.findall(r"^([A-Z][^\n:]*):$", text, re.MULTILINE)
        assert titles[:2] == ["Options", "Speech and models"]
        assert len(titles) == len(set(titles))
    run, serve = (cberl(command, "--help").stdout for command in ("run", "serve"))
    assert "--output" in run.partition("Speech and models:")[0]
    assert "--mqtt" not in run
    assert "--mqtt" in serve
