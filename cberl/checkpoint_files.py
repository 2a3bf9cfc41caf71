"""A network on disk: `config.json`, `model.safetensors` and `step.onnx`. No pickle is read.

config.json holds the version of this layout (`format`), the network's configuration (`model`), its `calibration`, and
the digests of the other files (`weights_sha256`, `step_sha256`). All are checked before a network is made from them.
Of the other keys (`about`), a checkpoint has its `name`, the configuration of its `encoders` and its `provenance`.
step.onnx, from `cberl.step.graph`, is there for networks that can run utterance by utterance.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from cberl.calibration import Calibration
from cberl.config import ModelConfig
from cberl.errors import CberlError
from cberl.hub import HubError, fetch
from cberl.storage import fingerprint, replacing

WEIGHTS = Path(__file__).parent / "weights"
STARTER = WEIGHTS / "starter"
FACES = WEIGHTS / "faces"
FORMAT = 1
CONFIG, NETWORK, STEP = FILES = ("config.json", "model.safetensors", "step.onnx")
MAX_CONFIG_BYTES, MAX_NAME = 1 << 20, 128


class CheckpointError(CberlError, ValueError):
    """A checkpoint cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """What config.json says. `weights_sha256` and `step_sha256` are None in checkpoints of earlier versions."""

    config: ModelConfig
    calibration: Calibration
    weights_sha256: str | None
    step_sha256: str | None
    about: dict[str, Any]


def write_description(folder: Path, described: Description) -> None:
    """Replaces config.json."""
    digests = {"weights_sha256": described.weights_sha256, "step_sha256": described.step_sha256}
    config = {
        "format": FORMAT,
        "model": asdict(described.config),
        "calibration": asdict(described.calibration),
        **{name: digest for name, digest in digests.items() if digest},
        **described.about,
    }
    with replacing(folder / CONFIG) as unfinished:
        unfinished.write_text(json.dumps(config, indent=2) + "\n")


def read_description(folder: Path) -> Description:
    """Raises `CheckpointError`."""
    config = _read_config(folder / CONFIG)
    try:
        shape, given = config.pop("model"), config.pop("calibration")
        model_config = ModelConfig(**{**shape, "labels": tuple(shape["labels"])})
        calibration = Calibration(**{**given, "log_prior": tuple(given["log_prior"])})
        numbers, labels = len(calibration.log_prior), len(model_config.labels)
        if numbers != labels:
            raise ValueError(f"log_prior has {numbers} numbers for {labels} labels")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} does not describe a network: {error!r}; train it again") from error
    return Description(
        model_config, calibration, config.pop("weights_sha256", None), config.pop("step_sha256", None), config
    )


def read_about(folder: Path, about: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, encoders and provenance of the checkpoint in `folder`. Raises `CheckpointError`."""
    try:
        name, encoders, provenance = (about[key] for key in ("name", "encoders", "provenance"))
    except KeyError as error:
        raise CheckpointError(f"{folder / CONFIG} has no {error}: train it again") from error
    if not (isinstance(name, str) and 1 <= len(name) <= MAX_NAME and name.isprintable()):
        raise CheckpointError(f"{folder / CONFIG}: the name is printable text of up to {MAX_NAME} characters")
    if not (isinstance(encoders, dict) and isinstance(provenance, dict)):
        raise CheckpointError(f"{folder / CONFIG}: encoders and provenance are objects: train it again")
    return name, encoders, provenance


def checkpoint_folder(source: str | Path, revision: str | None = None, needed: tuple[str, ...] = FILES[:2]) -> Path:
    """The folder with the `needed` files; a string may also be a repository of the hub. Raises `CheckpointError`."""
    folder = Path(source)
    if not folder.is_dir() and isinstance(source, str):
        try:
            return fetch(source, needed, revision)
        except HubError as error:
            raise CheckpointError(f"{error}; give a folder of `cberl train`") from error
    for name in needed:
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not a checkpoint: {name} is missing; give a folder of `cberl train`")
    return folder


def verify(file: Path, sha256: str | None) -> None:
    """Raises `CheckpointError` where the file has another digest. Checkpoints of earlier versions have none."""
    if sha256 is not None and sha256 != fingerprint(file):
        raise CheckpointError(f"{file} is damaged or belongs to another config.json: its SHA-256 is another")


def _read_config(path: Path) -> dict[str, Any]:
    """The config without `format`, which is checked."""
    try:
        if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
            raise ValueError(f"it has {size} bytes, more than {MAX_CONFIG_BYTES}")
        config = dict(from_json(path.read_bytes()))
        version = config.pop("format")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}; train it again") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path.parent} has checkpoint format {version}, this version reads format {FORMAT}: "
            "train it again, or install the version of cberl-engine that wrote it"
        )
    return config
