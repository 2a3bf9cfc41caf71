"""A clock that the test sets."""


class HandClock:
    """Returns its attribute `time`, which only the test changes."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time
