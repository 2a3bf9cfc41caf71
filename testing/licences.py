"""Writes docs/licences.md: `python -m testing.licences`, which `make lock` runs.

Packages and licences are those of this environment's metadata, versions those of the lock files. What its model cards
say of the data behind the bundled weights is repeated here, and compared in tests.
"""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
NOT_STATED = "not stated"
COPYLEFT = re.compile(r"\b(?:[AL]?GPL|MPL|EPL|CDDL|EUPL)")

# What packages write, as SPDX identifiers.
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
}

# Libraries inside of wheels, by a file that proves that they are there: their licences are not in the metadata.
INSIDE = {
    "av": [
        ("libavcodec-*", "FFmpeg (LGPL-3.0-or-later)"),
        ("libx264-*", "x264 (GPL-2.0-or-later)"),
        ("libx265-*", "x265 (GPL-2.0-or-later)"),
        ("libmp3lame-*", "LAME (LGPL-2.0-or-later)"),
    ],
}

# Name, what it is used for, its terms as in the model cards, and the model cards that name it.
DATA = [
    ("MELD", "text encoder, network", "GPL-3.0", "README.md"),
    ("EmoryNLP", "text encoder", "research", "README.md"),
    ("EmotionPush", "text encoder, network", "research", "README.md"),
    ("XED", "text encoder", "CC BY 4.0", "README.md"),
    ("GoEmotions", "text encoder", "CC BY 4.0", "README.md"),
    ("ISEAR", "text encoder", "research", "README.md"),
    ("SemEval-2018 E-c", "text encoder", "research", "README.md"),
    ("dair-ai emotion", "text encoder", "research", "README.md"),
    (
        "RAVDESS",
        "speech emotion heads; scores that the network was trained with",
        "CC BY-NC-SA 4.0",
        "speech/README.md",
    ),
    ("TESS", "speech emotion heads", "CC BY-NC-ND 4.0", "speech/README.md"),
    ("nonverbal vocalisations", "heads for vocal events", "CC BY-NC-ND 4.0", "speech/README.md"),
    ("FER2013", "expression network; scores that the network was trained with", "research", "expression/README.md"),
    ("haarcascade_frontalface_default", "face detector", "Intel License (BSD-3-Clause)", "faces/README.md"),
    ("all-MiniLM-L6-v2", "start of the text encoder", "Apache-2.0", "README.md"),
    ("all-mpnet-base-v2", "teacher of the text encoder", "Apache-2.0", "README.md"),
    ("Whisper tiny.en", "first layers of the speech emotion network", "MIT", "speech/README.md"),
]


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")


def page() -> str:
    """The document. Raises PackageNotFoundError where a dependency is not installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    runtime = installed([*project["dependencies"], *optional["gpu"], *optional["diarize"]])
    extras = [it for name in ("train", "checks") for it in optional[name]]
    checks = {name: it for name, it in installed(extras).items() if name not in runtime}
    versions = locked("engine") | locked("checks")
    rows = [
        f"| {name} | {versions.get(name, it.version)} | {_cell(name, it)} |" for name, it in sorted(runtime.items())
    ]
    tests = [f"`{name}` ({licence(it)})" for name, it in sorted(checks.items()) if is_copyleft(licence(it))]
    named = [name for name, it in sorted(runtime.items()) if is_copyleft(licence(it)) or name in INSIDE]
    data = [f"| {name} | {use} | {terms} |" for name, use, terms, _ in DATA]
    return f"""# Licences

Made by `python -m testing.licences`, which `make lock` runs; a test checks that it is current. It repeats what packages
and corpora say about themselves, and is not legal advice.

The code of this project is under the [Apache License 2.0](../LICENSE). **The bundled weights are not**: they were made
from corpora for research and non-commercial use, see below.

## Dependencies

Installed with the engine and its extras `gpu` and `diarize` on Linux; other systems have fewer of them. **Bold**:
copyleft. "Inside": libraries in the package's wheel with terms of their own.

- Copyleft, in the package or inside of it: {", ".join(f"`{name}`" for name in named)}.
  The engine uses them unchanged, as separate packages, and encodes no video (x264, x265). Whoever passes them on, for
  example in a container image, has to fulfil their terms.
- The `nvidia-*` packages come with the CUDA build of PyTorch, under NVIDIA's terms. PyTorch's CPU build needs none, and
  the engine without these extras needs no PyTorch.
- Copyleft in tests and builds alone, never imported by the engine: {", ".join(tests)}.

| package | version | licence |
|---|---|---|
{chr(10).join(rows)}

## Data and models behind the bundled weights

From the model cards: [network and text encoder](../cberl/weights/README.md),
[speech emotion](../cberl/weights/speech/README.md), [expression](../cberl/weights/expression/README.md),
[face detector](../cberl/weights/faces/README.md). None of the corpora is in this repository.

| name | used for | terms |
|---|---|---|
{chr(10).join(data)}

So the weights are for **research and other non-commercial use**. For other uses, train on data that you have the rights
to: [data.md](data.md) describes the layouts, and `--checkpoint` and `--text-encoder` run the result. Speech to text
(Whisper, MIT) and speech detection (Silero VAD, MIT) do not depend on these corpora.
"""


def installed(requirements: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """What fulfils these requirements on this machine, and those of what does so, by canonical name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting, visited = [Requirement(it) for it in requirements], set()
    while waiting:
        one = waiting.pop()
        if str(one) in visited or one.name == "cberl-engine":  # in extras, for another extra
            continue
        visited.add(str(one))
        distribution = found[canonicalize_name(one.name)] = importlib.metadata.distribution(one.name)
        for requirement in map(Requirement, distribution.requires or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                waiting.append(requirement)
    return found


def locked(name: str) -> dict[str, str]:
    """Versions by canonical name in a lock file."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    return {canonicalize_name(package): version for package, version in re.findall(r"^(\S+)==([^\s;]+)", text, re.M)}


def licence(distribution: importlib.metadata.Distribution) -> str:
    """As an SPDX expression where the package's metadata allow it."""
    metadata = distribution.metadata
    classifiers = [it.rpartition(" :: ")[2] for it in metadata.get_all("Classifier", []) if it.startswith("License ::")]
    short = [it for it in metadata.get_all("License", []) if it.strip() and len(it) < 60 and "\n" not in it]
    found = [*metadata.get_all("License-Expression", []), *short, *classifiers]
    return SPDX.get(found[0], found[0]) if found else NOT_STATED


def is_copyleft(expression: str) -> bool:
    """Whether no alternative without copyleft may be chosen."""
    return all(COPYLEFT.search(part) for part in expression.split(" OR "))


def _cell(name: str, distribution: importlib.metadata.Distribution) -> str:
    expression = licence(distribution)
    stated = f"**{expression}**" if is_copyleft(expression) else expression
    files = [path.name for path in distribution.files or ()]
    inside = [text for pattern, text in INSIDE.get(name, []) if any(fnmatch(file, pattern) for file in files)]
    return stated + (f"; inside: **{', '.join(inside)}**" if inside else "")


if __name__ == "__main__":
    main()
