"""The file with the keys that sign tokens and the denied tokens. Created at first use; only its owner can read it."""

import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic_core import from_json

from cberl.storage import replacing
from engine.errors import EngineError
from engine.watched_file import WatchedFiles

KEEP_KEYS = 3  # of those that rotation has replaced, older ones are dropped, and their tokens with them


class KeyFileError(EngineError):
    """The key file cannot be used."""


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Keys:
    """`signing`: newest first; the first signs, all of them verify. `denied`: ids of tokens, with their expiry."""

    signing: tuple[Key, ...]
    denied: dict[str, float] = field(default_factory=dict)

    def rotated(self) -> "Keys":
        """A new key signs from now on. Tokens of the previous ones stay valid for `KEEP_KEYS` rotations."""
        return replace(self, signing=(new_key(), *self.signing)[:KEEP_KEYS])

    def denying(self, token: str, until_s: float) -> "Keys":
        kept = {it: expiry for it, expiry in self.denied.items() if expiry > time.time()}
        return replace(self, denied=kept | {token: until_s})


def new_key() -> Key:
    return Key(secrets.token_hex(4), secrets.token_urlsafe(48))


def key_file(setting: str) -> Path:
    """The file of the setting `keys`; without one, in the folder for the user's state (XDG)."""
    if setting:
        return Path(setting)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "cberl" / "keys.json"


def load_keys(path: Path) -> tuple[Keys, bool]:
    """The keys, and whether they were created just now. Raises KeyFileError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        created = _create(path)
        return read_keys(path), created
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be used for keys: {error.strerror}") from error


def read_keys(path: Path) -> Keys:
    """Raises KeyFileError, and OSError."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFileError(f"{path}: others can read the keys; run chmod 600 {path}")
    try:
        body = from_json(path.read_bytes(), allow_inf_nan=False)
        denied = {str(it): float(until_s) for it, until_s in dict(body["denied"]).items()}
        keys = Keys(tuple(Key(str(it["id"]), str(it["secret"])) for it in body["signing"]), denied)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise KeyFileError(f"{path}: is not a file of keys; move it away, and new keys are made") from error
    if not keys.signing:
        raise KeyFileError(f"{path}: has no key; move it away, and new keys are made")
    return keys


def save_keys(path: Path, keys: Keys) -> None:
    """Raises KeyFileError."""
    try:
        with replacing(path) as unfinished:
            unfinished.touch(mode=0o600)
            unfinished.write_text(_text(keys), encoding="utf-8")
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written: {error.strerror}") from error


class KeyWatcher:
    """The keys in a file, read again when it changes, so that a running server knows of denied tokens."""

    def __init__(self, path: Path, keys: Keys, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._keys = keys
        self._problem: KeyFileError | None = None
        self._check = WatchedFiles([path], self._read, now)

    def __call__(self) -> Keys:
        """The present keys. Where the file cannot be read, those of before. Raises KeyFileError where it is invalid."""
        self._check()
        if self._problem:
            raise self._problem
        return self._keys

    def _read(self) -> None:
        """Raises OSError."""
        try:
            self._keys, self._problem = read_keys(self._path), None
        except KeyFileError as error:
            self._problem = error


def _create(path: Path) -> bool:
    """Whether there was no file yet."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_text(Keys((new_key(),))))
    return True


def _text(keys: Keys) -> str:
    return json.dumps(asdict(keys), indent=1) + "\n"
