"""The base of every error that a user sees."""

from cberl.errors import CberlError


class EngineError(CberlError):
    """One sentence that says what is wrong and what to do. The command line prints it and exits with 1."""
