"""The base of every error that a user sees. Its message is one sentence: what is wrong, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager


class CberlError(Exception):
    """The command line prints the message without a traceback; anything else that is raised is a bug."""


class EncoderError(CberlError):
    """An encoder cannot be used: a file is missing or damaged, or does not fit the rest."""


class TrainingError(CberlError):
    """A training run cannot start or continue as asked."""


@contextmanager
def train_extra() -> Iterator[None]:
    """Around imports of packages that only the `train` extra installs. Raises `TrainingError` if one is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise TrainingError(f"{error.name} is not installed: pip install 'cberl-engine[train]'") from error
