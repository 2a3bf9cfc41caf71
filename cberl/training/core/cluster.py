"""Runs in parallel on a Ray cluster, scheduled by Ray Tune; without a cluster, on this machine.

The runs' folder must have the same path on every machine: results are written to it, and resuming reads it.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cberl.errors import CberlError
from cberl.training.core.parallel import Failure, Report, Task, exception_in, work
from cberl.training.core.runs import Result
from cberl.training.core.train import Epoch


class ClusterError(CberlError):
    """Ray cannot be used."""


def run_on_ray(tasks: Sequence[Task], at_once: int, storage: Path, report: Report) -> None:
    """As `run_in_processes`, on Ray. Tune's own files are written to `storage`.

    The environment variable RAY_ADDRESS names a cluster; then its size, not `at_once`, limits how many runs are
    parallel. Raises `ClusterError`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # the caller handles Ctrl-C
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # relative paths stay valid in workers
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise ClusterError("Ray is not installed: pip install 'cberl-engine[cluster]'") from error

    def trainable(config: dict[str, Any]) -> None:
        def report_epoch(epoch: Epoch) -> None:
            tune.report({"epoch": asdict(epoch)})

        tune.report({"result": asdict(work(tasks[config["task"]], report_epoch))})

    class Forward(tune.Callback):  # type: ignore[misc]  # Ray has no types
        def __init__(self, report: Report) -> None:
            self.report = report

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles a copy, and a terminal cannot be pickled

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            message = Result(**result["result"]) if "result" in result else Epoch(**result["epoch"])
            self.report(trial.config["task"], message)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            errors = Path(trial.error_file).read_text() if trial.error_file else ""
            self.report(trial.config["task"], Failure(exception_in(errors) or "unknown reason"))

    local = "RAY_ADDRESS" not in os.environ
    ray.init(num_cpus=at_once * tasks[0].threads if local else None, include_dashboard=False if local else None)
    try:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": tasks[0].threads}),
            param_space={"task": tune.grid_search(list(range(len(tasks))))},
            run_config=tune.RunConfig(name="tune", storage_path=str(storage), callbacks=[Forward(report)], verbose=0),
        ).fit()
    finally:
        ray.shutdown()
