"""Limits how often the same line of code may log, so that an attack does not fill the disk."""

import logging
import time
from collections import OrderedDict

from engine.runtime.clocks import Clock

LINES, WITHIN_S = 10, 10.0
MAX_PLACES = 1000


class LogLimit(logging.Filter):
    """For a handler: at most `LINES` records per line of code in `WITHIN_S`. The next says how many were omitted."""

    def __init__(self, now: Clock = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._places: OrderedDict[tuple[str, str, int], tuple[float, int]] = OrderedDict()  # (since, records)

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.name, record.pathname, record.lineno), self._now()
        since, records = self._places.pop(place, (now, 0))
        if now - since >= WITHIN_S:
            if records > LINES:
                record.msg, record.args = f"{record.getMessage()} ({records - LINES} more were not logged)", ()
            since, records = now, 0
        self._places[place] = (since, records + 1)
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)
        return records < LINES
