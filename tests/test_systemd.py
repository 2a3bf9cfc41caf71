"""The unit of systemd."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.serve import EXIT_S, command

UNIT = Path(__file__).parents[1] / "deploy" / "cberl.service"
MOST_EXPOSED = 2.5  # of 10, by `systemd-analyze security`


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser["Service"]


def test_its_command_has_flags_that_exist(service: configparser.SectionProxy) -> None:
    program, subcommand, *arguments = shlex.split(service["ExecStart"])
    assert (Path(program).name, subcommand) == ("cberl", "serve")
    flags = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= flags
    written = [argument for argument in arguments if argument.startswith("%S/")]
    assert written
    assert all(path.startswith(f"%S/{service['StateDirectory']}/") for path in written)  # all else is read-only


def test_it_waits_longer_than_the_engine_needs_to_stop(service: configparser.SectionProxy) -> None:
    assert float(service["TimeoutStopSec"]) > EXIT_S
    assert service["Restart"] == "on-failure"


def test_systemd_accepts_it_and_finds_it_confined(tmp_path: Path, service: configparser.SectionProxy) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: apt install systemd")
    program = shlex.split(service["ExecStart"])[0]
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(program, sys.executable), encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    examine = ["systemd-analyze", "security", "--offline=true", "--no-pager", copy]
    examined = subprocess.run(examine, capture_output=True, text=True, check=True)
    (exposure,) = re.findall(r"exposure level for cberl\.service: ([\d.]+)", examined.stdout)
    assert float(exposure) < MOST_EXPOSED
