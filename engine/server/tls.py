"""The certificate of the engine, loaded again when its file changes, so that a renewal needs no restart."""

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError
from engine.watched_file import WatchedFiles

log = logging.getLogger(__name__)


class TlsError(EngineError):
    """The certificate or its key cannot be used."""


class Certificate:
    """A context for TLS with the present certificate. Raises TlsError where the files cannot be used at the start."""

    def __init__(self, certificate: Path, key: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._files = (certificate, key)
        self._context = self._load()
        self._check = WatchedFiles(self._files, self._load_again, now)

    def __call__(self) -> ssl.SSLContext:
        """For a new connection. Where a changed file cannot be used, the one of before, and a line in the log."""
        self._check()
        return self._context

    def _load_again(self) -> None:
        try:
            self._context = self._load()
            log.info("the certificate was loaded again")
        except TlsError as error:
            log.warning("%s; the certificate of before is used", error)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            names = " and ".join(map(str, self._files))
            raise TlsError(f"{names} are not a certificate and its key: {error.strerror or error}") from error
        return context
