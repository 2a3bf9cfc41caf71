"""What was measured with one number of conversations, and whether that is a valid measurement. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

LATE_MS = 50.0  # an event loop that is late by this much distorts what it measures
OTHERS_CORES = 0.25
BUSY_CORES = 0.8  # of the one core that the driver's event loop can use


@dataclass(slots=True)
class Outcome:
    """One conversation. `problem`: why it was refused, or did not come to its end."""

    after_speech_ms: list[float] = field(default_factory=list)
    missed: int = 0  # turns without an event
    dropped_chunks: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time while turns were measured, in cores. None where it is unknown, as that of a remote server.

    `other_cores`: of other processes on the machine. `driver_late_ms`: how late the driver's timers were (p99).
    """

    server_cores: float | None = None
    driver_cores: float = 0.0
    other_cores: float | None = None
    driver_late_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """So many conversations at once: milliseconds from the end of speech to the final event, and what was lost."""

    conversations: int
    turns: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    missed: int
    dropped_chunks: int
    failed: int  # conversations
    problem: str  # of most of those that failed
    server_cores: float | None
    driver_cores: float
    other_cores: float | None
    driver_late_ms: float

    @property
    def disturbed(self) -> bool:
        """Whether other processes took what the server could have used."""
        return self.other_cores is not None and self.other_cores > OTHERS_CORES

    @property
    def driver_limited(self) -> bool:
        """Whether the driver was too slow for its figures to be those of the server."""
        return self.driver_late_ms > LATE_MS or self.driver_cores > BUSY_CORES

    def served(self, target_p95_s: float) -> bool:
        """In time and without loss."""
        lost = self.missed or self.dropped_chunks or self.failed
        return not lost and self.p95_ms is not None and self.p95_ms <= target_p95_s * 1e3


def summarize(outcomes: Sequence[Outcome], usage: Usage) -> Row:
    after_ms = [ms for it in outcomes for ms in it.after_speech_ms]
    p50, p95, p99 = np.percentile(after_ms, [50, 95, 99]).round(1).tolist() if after_ms else (None, None, None)
    problems = Counter(it.problem for it in outcomes if it.problem)
    return Row(
        conversations=len(outcomes),
        turns=len(after_ms),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        missed=sum(it.missed for it in outcomes),
        dropped_chunks=sum(it.dropped_chunks for it in outcomes),
        failed=problems.total(),
        problem=problems.most_common(1)[0][0] if problems else "",
        server_cores=usage.server_cores,
        driver_cores=usage.driver_cores,
        other_cores=usage.other_cores,
        driver_late_ms=usage.driver_late_ms,
    )
