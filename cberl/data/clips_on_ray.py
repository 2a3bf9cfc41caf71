"""Features of clips on a Ray cluster, as a data set of Ray Data whose rows are files.

Every machine of the cluster must see the files under the same paths.
"""

import logging
import os
import pickle
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from cberl.data.clip_tasks import ClipEncoder, Result, Task, run_task
from cberl.data.dialogue import DataError


class _Encoder:
    """In an actor: loads its networks once."""

    def __init__(self, encoder: ClipEncoder) -> None:
        self._encoder, self._encode = encoder, encoder.open()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task: Task = pickle.loads(row["task"])
        return {"number": row["number"], "results": pickle.dumps(run_task(task, self._encoder, self._encode))}


def run_on_ray(tasks: Iterable[Task], encoder: ClipEncoder) -> Iterator[list[Result]]:
    """As `run_in_processes`. RAY_ADDRESS names the cluster; without it, a cluster of this machine is started.

    The clips of a file that ends the process that reads it have a problem. Raises DataError where Ray is not installed.
    """
    given = list(tasks)
    if not given:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
    except ImportError as error:
        raise DataError("Ray is not installed: pip install 'cberl-engine[cluster]'") from error
    local = "RAY_ADDRESS" not in os.environ
    ray.init(logging_level="error", log_to_driver=False, include_dashboard=False if local else None)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # after init, which sets it
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a file that ends its process does not end the others
        rows = [{"number": number, "task": pickle.dumps(task)} for number, task in enumerate(given)]
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        with warnings.catch_warnings():
            # Deprecated without a replacement: by default, Ray would read again and again what ends its process.
            warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
            encoded = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                _Encoder,
                fn_constructor_args=(encoder,),
                # With one file at a time, a process that ends takes no other file with it.
                compute=ActorPoolStrategy(size=cores, max_tasks_in_flight_per_actor=1),
                ray_remote_args_fn=lambda: {"max_task_retries": 0},
            )
        missing = set(range(len(given)))
        for row in encoded.iter_rows():
            missing.discard(row["number"])
            yield pickle.loads(row["results"])
        for number in sorted(missing):
            problem = f"{given[number].path} cannot be read: it ends the process that reads it"
            yield [Result(key, None, problem) for key in given[number].keys]
    finally:
        ray.shutdown()
