"""Files that are replaced as a whole, and cache files named by a digest of what they were made from."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, to be written in the block and moved over `path` at its end.

    Readers see the old file or the new one, never half of one. When the block raises, `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def cache_file(folder: Path, name: str, made_from: object, suffix: str = ".safetensors") -> Path:
    """`folder/name-DIGEST.suffix`, where the digest changes with `made_from`, which is plain JSON."""
    text = made_from if isinstance(made_from, str) else json.dumps(made_from)
    return folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}{suffix}"


def fingerprint(*files: Path) -> str:
    """SHA-256 over the bytes of the files, in order; missing files are left out."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()
