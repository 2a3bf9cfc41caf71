"""The base of every error that a user sees."""


class CberlError(Exception):
    """One sentence that says what is wrong and what to do. The command line prints it and exits with 1."""
