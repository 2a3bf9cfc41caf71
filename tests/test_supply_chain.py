"""What is installed is pinned with hashes, and its licences are listed."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from testing import licences

ROOT = Path(__file__).parents[1]
LOCKS = ("engine", "checks", "cluster", "models")
EXTRAS = {"engine": (), "checks": ("checks", "train"), "cluster": ("cluster",)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_the_version_of_the_constraints(name: str) -> None:
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(it): version for it, version in re.findall(r"^(\S+)==(\S+)$", constraints, re.M)}
    for entry in entries:
        package, version = re.match(r"(\S+)==(\S+)", entry).groups()  # type: ignore[union-attr]
        assert pinned.get(canonicalize_name(package), version) == version, package
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", entry), package
    assert "://" not in text  # no address of a registry


@pytest.mark.parametrize("name", EXTRAS)
def test_the_locks_fulfil_what_the_project_requires(name: str) -> None:
    """Otherwise run `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(it for extra in EXTRAS[name] for it in extras[extra])]
    versions = licences.locked(name)
    for requirement in map(Requirement, wanted):
        if requirement.name != "cberl-engine":
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_make_installs_nothing_without_a_hash() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in makefile.splitlines() if line.startswith("\t$(INSTALL)")]
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


@pytest.mark.skipif(sys.platform != "linux", reason="the list is that of an installation on Linux")
def test_the_list_of_licences_is_current() -> None:
    """Otherwise run `python -m testing.licences`."""
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page()


def test_the_terms_of_data_are_those_of_the_model_cards() -> None:
    for name, _, terms, card in licences.DATA:
        text = " ".join((ROOT / "cberl" / "weights" / card).read_text(encoding="utf-8").split())
        assert terms.lower() in text.lower(), name
        assert name.rpartition(" ")[2].lower() in text.lower(), name


@pytest.mark.parametrize(
    ("expression", "copyleft"),
    [
        ("GPLv3", True),
        ("MPL-2.0 AND MIT", True),
        ("LGPL-2.1-or-later", True),
        ("EPL-2.0 OR BSD-3-Clause", False),
        ("Apache-2.0 AND MIT", False),
        (licences.NOT_STATED, False),
    ],
)
def test_copyleft_is_recognised_where_it_cannot_be_avoided(expression: str, copyleft: bool) -> None:
    assert licences.is_copyleft(expression) is copyleft
