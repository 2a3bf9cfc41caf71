"""The command as its users see it: what it prints, how it fails, how it stops."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from importlib.metadata import version as installed_version
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from cberl.checkpoint import STARTER, WEIGHTS
from engine.cli import main
from engine.cli.app import COMMANDS
from engine.config import SECRETS
from engine.delivery.wire import decode
from testing.command import MAIN
from testing.recordings import tone, write_talk, write_wav

VERSION = installed_version("cberl-engine")
JIT = "ignore:`torch.jit.script:DeprecationWarning"  # see pyproject.toml
CBERL = [sys.executable, "-W", "error", "-W", JIT, "-c", MAIN]

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cberl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs the command here, in an empty folder: (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["cberl", *map(str, args)])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three turns, in a file whose name is not valid for a conversation."""
    return write_talk(tmp_path_factory.mktemp("talk") / " a talk #1+.wav")


def silent_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for frame in (av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)), None):
            container.mux(stream.encode(frame))
    return path


def assert_one_sentence(result: tuple[int, str, str], says: str) -> None:
    code, out, err = result
    assert code != 0
    assert out == ""
    assert "Traceback" not in err
    *_, last = err.splitlines()
    assert [line for line in err.splitlines() if line.startswith("Error: ")] == [last]
    assert says in last


def test_the_console_script_is_this_command() -> None:
    (script,) = entry_points(group="console_scripts", name="cberl")
    assert script.load() is main


def test_the_version_is_printed_and_shells_complete_commands_and_options() -> None:
    def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | environment
        return subprocess.run([*CBERL, *args], capture_output=True, text=True, env=environment, check=False)

    version = run("--version")
    assert (version.returncode, version.stdout, version.stderr) == (0, f"cberl, version {VERSION}\n", "")
    words = {"_CBERL_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    assert run(COMP_WORDS="cberl s", **words).stdout.splitlines() == ["plain,serve", "plain,sweep"]
    assert "plain,--version" in run(COMP_WORDS="cberl --", **words).stdout.splitlines()
    words["COMP_CWORD"] = "2"
    assert "plain,--mqtt-prefix" in run(COMP_WORDS="cberl serve --mqtt", **words).stdout.splitlines()
    script = run(_CBERL_COMPLETE="bash_source")
    assert "complete -o nosort -F _cberl_completion cberl" in script.stdout
    assert 'eval "$(_CBERL_COMPLETE=bash_source cberl)"' in run("--help").stdout


@pytest.mark.parametrize(
    ("status", "args"),
    [
        (0, ("--help",)),
        (0, ("serve", "--print-config")),
        (1, ("serve", "--host", "0.0.0.0")),
        (1, ("doctor", "--checkpoint", "nowhere")),
        (1, ("data", "check", "empty")),
        (1, ("run", "nowhere.wav")),
        (1, ("models", "path", "nowhere")),
        (1, ("train", "--data", "nowhere")),
        (2, ("serve", "--nonsense",)),
        (2, ("nonsense",)),
    ],
)  # fmt: skip
def test_the_process_exits_with_the_status_of_the_command(status: int, args: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = subprocess.run([*CBERL, *args], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_of_every_command_has_examples(cberl: Cli, verb: str) -> None:
    assert f"  {verb} " in cberl("--help")[1]
    _, out, _ = cberl(verb, "--help")
    *_, below = out.partition("\nCommands:\n")
    for words in [(verb, line.split()[0]) for line in below.splitlines()] or [(verb,)]:
        code, out, err = cberl(*words, "--help")
        assert (code, err) == (0, "")
        assert f"Examples:\n    cberl {' '.join(words)}" in out


def test_printed_settings_are_settings(cberl: Cli, tmp_path: Path) -> None:
    flags = (
        "--port",
        9000,
        "--whisper-model",
        "tiny.en",
        "--whisper-model",
        'C:\\a "b"',
        "--max-turn-s",
        7.5,
        "--insecure",
    )
    code, printed, err = cberl("serve", *flags, "--print-config")
    assert (code, err) == (0, "")
    assert tomllib.loads(printed)["whisper_model"] == 'C:\\a "b"'
    (tmp_path / "mine.toml").write_text(printed)
    assert cberl("serve", "--config", "mine.toml", "--print-config") == (0, printed, "")
    (tmp_path / "cberl.toml").write_text(printed)  # the default file
    assert cberl("run", "x.wav", "--print-config") == (0, printed, "")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_no_flag_and_is_not_printed(cberl: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert cberl("serve", f"--{name.replace('_', '-')}", "hush")[0] == 2
    monkeypatch.setenv(f"CBERL_{name.upper()}", "whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNo")
    code, printed, err = cberl("serve", "--print-config")
    assert (code, err, "whsec" in printed) == (0, "", False)


def test_bad_settings_are_one_sentence(cberl: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.toml").write_text("prot = 1\n")
    assert_one_sentence(cberl("serve", "--config", "bad.toml"), "bad.toml: key 'prot' is unknown; did you mean 'port'?")
    assert_one_sentence(cberl("serve", "--config", "none.toml"), "none.toml")
    assert_one_sentence(cberl("serve", "--port", 65_536), "--port should be less than or equal to 65535, not 65536.")
    assert_one_sentence(cberl("serve", "--host", "0.0.0.0"), "can be reached from other machines")
    assert_one_sentence(cberl("run", "x.wav", "--speakers", "a/b,c"), "may not contain '/'")
    monkeypatch.setenv("CBERL_PROT", "1")
    assert_one_sentence(cberl("serve"), "environment variable 'CBERL_PROT' is unknown; did you mean 'CBERL_PORT'?")


def test_a_model_that_cannot_be_used_is_one_sentence(
    cberl: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    write_wav(tmp_path / "x.wav", tone(200, 1)[None])
    assert_one_sentence(
        cberl("run", "x.wav", "--checkpoint", "empty"), "empty is not a checkpoint: config.json is missing"
    )
    shutil.copytree(STARTER, tmp_path / "old")
    config = json.loads((STARTER / "config.json").read_text())
    for change, says in ({"format": 0}, "has checkpoint format 0"), ({"encoders": {}}, "does not say how its input"):
        (tmp_path / "old" / "config.json").write_text(json.dumps(config | change))
        assert_one_sentence(cberl("run", "x.wav", "--checkpoint", "old"), says)
    wanted = ("--hub-timeout-s", 0, "--whisper-model", "/nowhere/x")
    assert_one_sentence(cberl("run", "x.wav", *wanted), "there is no folder /nowhere/x with a Whisper model")
    for wrong in ("~nobody-of-this-name/x", "models/nowhere"):
        assert_one_sentence(cberl("run", "x.wav", *wanted[:-1], wrong), f"there is no folder {wrong}")
    if not torch.cuda.is_available():
        assert_one_sentence(cberl("run", "x.wav", "--device", "cuda"), "PyTorch sees no GPU here")
    shutil.copytree(WEIGHTS / "text", tmp_path / "weights" / "text")
    os.truncate(tmp_path / "weights" / "text" / "text.onnx", 1000)
    monkeypatch.setattr("engine.conversation.model_backend.TEXT_ENCODER", tmp_path / "weights" / "text")
    assert_one_sentence(cberl("run", "x.wav"), f"another text encoder than the one in {tmp_path / 'weights' / 'text'}")
    assert_one_sentence(cberl("run", "x.wav", "--text-encoder", "empty"), "empty/text.onnx is missing")
    (tmp_path / "weights" / "text" / "text.onnx").unlink()
    assert_one_sentence(cberl("run", "x.wav"), "text.onnx is missing")


def test_a_file_without_usable_audio_is_one_sentence(cberl: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound at all\n")
    silent_film(tmp_path / "film.mp4")
    for file, says in (
        ("nowhere.wav", "nowhere.wav is missing"),
        ("notes.txt", "notes.txt cannot be read as media"),
        ("film.mp4", "film.mp4 has no audio stream"),
    ):
        assert_one_sentence(cberl("run", file, "--checkpoint", "nowhere"), says)  # before models are loaded
    assert_one_sentence(cberl("evaluate", "--data", "nowhere"), "nowhere is not a folder")


def test_a_port_in_use_is_one_sentence(cberl: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = cberl("serve", "--whisper-model", "tiny.en", "--port", port)
    assert_one_sentence(result, f"cannot listen on 127.0.0.1 port {port}: Address already in use")


@pytest.mark.parametrize("extreme", [(), ("--end-silence-ms", 100), ("--max-turn-s", 3)])
def test_a_recording_becomes_json_lines(cberl: Cli, talk: Path, extreme: tuple[object, ...]) -> None:
    code, out, err = cberl("run", talk, "--quiet", "--whisper-model", "tiny.en", "--speakers", "maya,tom", *extreme)
    assert (code, err) == (0, "Speech to text: Whisper tiny.en, as configured.\n")
    events = [decode(line)[1] for line in out.splitlines()]
    assert {event.conversation for event in events} == {"a talk -1-"}
    assert list(dict.fromkeys(event.speaker for event in events)) == ["maya", "tom"]
    assert len(events) >= 3


def test_on_a_terminal_a_recording_becomes_a_table_which_says_why(talk: Path) -> None:
    ours, theirs = pty.openpty()
    command = ("run", str(talk), "--whisper-model", "tiny.en", "--why")
    with started(*command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # the terminal has no writer any more
            os.close(ours)
        assert process.wait() == 0
    assert b'"type"' not in shown
    first, *others = re.split(r"\d+:\d\d\.\d +(?=speaker-\d )", re.sub(r"\x1b\[[\d;]*m", "", shown.decode()))[1:]
    assert first.startswith("speaker-1 ")
    assert not re.search("because|despite", first)
    for turn in (first, *others):
        assert re.search(r"\n +this turn +words [+-]\d\.\d\d, voice [+-]\d\.\d\d", turn)
    for turn in others:
        assert re.search(r"\n +(because +\+|despite +-)\d\.\d\d +\d+:\d\d\.\d speaker-\d: \S", turn)


def test_a_reader_that_leaves_is_no_error(talk: Path) -> None:
    pipe = subprocess.PIPE
    with started("run", str(talk), "--whisper-model", "tiny.en", "--json", stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.read(8) == '{"type":'
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr is not None
        assert process.stderr.read() == "Speech to text: Whisper tiny.en, as configured.\n"


@pytest.mark.parametrize(
    ("verb", "sign", "code"),
    [
        ("serve", "loading models", 130),
        ("serve", "(Ctrl-C stops it)", 0),
        ("run", '"type":"emotion"', 130),
        ("demo", "Watch it at", 130),
    ],
)
def test_ctrl_c_stops_it_cleanly(talk: Path, verb: str, sign: str, code: int) -> None:
    """As a terminal sends it: to the command and to all its child processes."""
    more = {"serve": ("--port", "0"), "run": (str(talk), "--realtime"), "demo": ()}[verb]
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    with started(verb, "--whisper-model", "tiny.en", *more, stdout=pipe, stderr=same) as process:
        assert process.stdout is not None
        while sign not in (line := process.stdout.readline()):
            assert line, f"{verb} ended before it printed {sign!r}"
        os.killpg(process.pid, signal.SIGINT)
        after = process.stdout.read()
        assert process.wait() == code
    assert "Traceback" not in after
    assert after.endswith("interrupted\n" if code else "")


@contextmanager
def started(*args: str, stdout: int, stderr: int) -> Iterator[subprocess.Popen[str]]:
    """The command in a session of its own, killed at the end."""
    with subprocess.Popen([*CBERL, *args], text=True, start_new_session=True, stdout=stdout, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.kill()
