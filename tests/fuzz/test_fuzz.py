"""Every parser of bytes from outside refuses changed inputs with its own error; `make fuzz` takes longer."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testing.fuzz import (  # noqa: F401 - they fill TARGETS
    targets_corpora,
    targets_files,
    targets_live,
    targets_server,
    targets_webrtc,
)
from testing.fuzz.runner import TARGETS, Found, Inputs, Target, run, shares
from testing.fuzz.targets_webrtc import OFFER

CASES = 100_000
ROOT = Path(__file__).resolve().parents[2]


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testing.fuzz", *options]
    paths = f"{ROOT}:{ROOT / 'clients/python'}"
    environment = {"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(400)
def test_a_hundred_thousand_changed_inputs_raise_nothing_but_documented_errors() -> None:
    """With one seed, so that a change that has nothing to do with parsers passes. `make fuzz` takes others."""
    done = fuzz("--cases", str(CASES), "--seed", "14")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(re.findall(r"^([\w-]+) +(\d+) cases", done.stdout, re.MULTILINE))
    assert counts.keys() == TARGETS.keys()
    assert sum(map(int, counts.values())) == CASES
    assert min(map(int, counts.values())) >= 50
    assert done.stderr == ""


def test_what_is_found_is_printed_and_repeated_by_the_printed_command() -> None:
    code = (
        "import sys; from testing.fuzz import __main__ as it; from testing.fuzz.runner import Inputs, Target;"
        "from contextlib import contextmanager, nullcontext;"
        "parse = lambda data: data.decode('ascii') and None;"
        "it.TARGETS.clear();"
        "it.TARGETS['toy'] = Target('toy', 1, lambda folder: nullcontext(Inputs([b'abc'], parse)));"
        "sys.exit(it.main())"
    )

    def toy(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *options]
        paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"}
        return subprocess.run(command, cwd=ROOT, env=paths, capture_output=True, text=True, timeout=100)

    first = toy("--seed", "5")
    assert first.returncode == 1
    assert "UnicodeDecodeError" in first.stderr
    again = toy(*re.findall(r"repeat: python -m testing.fuzz --target toy (.*)", first.stderr)[0].split())
    assert again.returncode == 1
    assert re.findall("input: .*", again.stderr) == re.findall("input: .*", first.stderr)


def test_cases_are_divided_by_weight_and_none_is_left_out() -> None:
    some = [Target(name, weight, None) for name, weight in (("a", 1), ("b", 2), ("c", 4))]  # type: ignore[arg-type]
    assert shares(some, 100) == {"a": 15, "b": 28, "c": 57}


# What fuzzing has found: the target, and the input that raised something else.
LONG_PUT = b"\x80\x02}r\xff\xff\xff\x7f."
FOUND = {
    "first-messages": b"[" * 5000,
    "iemocap-lines": b'{"dialogue": {"a": 1}}',
    "meld-prosody": b'{"split": "test", "utt": "dia0_utt0", "audio": [{}]}',
    "iemocap-release": b"[6.1.2.3 - 8.2]\tSes05F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\n\n~file~\n",
    "sdp": OFFER.replace(b"a=mid:0", b"a=mid"),
    "pickles": LONG_PUT,
    "picture-sets": b"PK\x03\x04",
    "outbox-rows": b"[]",
    "client-messages": b'{"type": "conversation.started", "id": "demo/2@0", "seq": [{}], "conversation": "demo"}',
    "key-files": b'{"signing": [{"id": "a", "secret": "b"}], "denied": {"x": "soon"}}',
    "token-claims": b'{"iss": "cberl", "jti": "a", "exp": 4000000000, "scope": "publish", "conversation": "a",'
    b' "speaker": ["alice"]}',
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_refused(name: str, tmp_path: Path) -> None:
    with TARGETS[name].open(tmp_path) as inputs:
        try:
            inputs.parse(FOUND[name])
        except inputs.refusals:
            return
        assert name in ("first-messages", "outbox-rows"), "it should have been refused"


@pytest.mark.parametrize("cut", [b"", b"\x00" * 8, base64.b64decode("H4sIAAAA")])
def test_a_damaged_archive_names_its_file(cut: bytes, tmp_path: Path) -> None:
    with TARGETS["iemocap-lines"].open(tmp_path) as inputs, pytest.raises(inputs.refusals, match=r"jsonl\.gz"):
        inputs.parse(b"\x1f\x8b" + cut)


def test_a_parser_that_accepts_what_its_seed_is_not_is_found(tmp_path: Path) -> None:
    from contextlib import nullcontext

    def parse(data: bytes) -> None:
        if data != b"seed":
            raise KeyError("changed")

    broken = Target("broken", 1, lambda folder: nullcontext(Inputs([b"seed"], parse)))
    with pytest.raises(Found, match="broken, case 0 of seed 3"):
        run(broken, 3, 0, 10)
