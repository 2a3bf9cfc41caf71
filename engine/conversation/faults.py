"""What happens to a turn when a model fails: it goes on without the model's result, and its event says so."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from engine.events import Missing
from engine.runtime.memory import is_out_of_memory
from engine.runtime.model_thread import ModelTimeoutError
from engine.runtime.worker import WorkerClosedError

Result = TypeVar("Result")

log = logging.getLogger(__name__)


async def result_or_fault(part: str, work: Awaitable[Result], missing: dict[str, Missing]) -> Result | None:
    """The result of a model, or None and an entry in `missing`."""
    try:
        return await work
    except WorkerClosedError:  # the engine ends
        raise
    except ModelTimeoutError:  # logged where it is counted
        missing[part] = "timeout"
    except Exception as error:  # noqa: BLE001 - models raise anything, and no turn may be lost for that
        missing[part] = "out_of_memory" if is_out_of_memory(error) else "failed"
        if missing[part] == "failed":
            log.exception("a turn goes on without %s, because the model failed", part)
        else:
            log.error("a turn goes on without %s, because there is not enough memory: %s", part, error)
    return None
