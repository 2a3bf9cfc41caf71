"""The base of every error that a user sees, and the errors that several parts of the engine raise."""

from cberl.errors import CberlError


class EngineError(CberlError):
    """One sentence that says what is wrong and what to do. The command line prints it and exits with 1."""


class RefusedError(EngineError):
    """A publisher may not join, now or under this name.

    `code` is sent to the publisher: "full" (then with `retry_after_s`), "speaker_taken", "stopped", or "failed", which
    is the engine's fault.
    """

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


class CommandError(EngineError):
    """A command to start, stop or rename that was not executed."""
