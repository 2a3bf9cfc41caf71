"""Runs side by side on a Ray cluster, scheduled by Ray Tune; without a cluster, on this machine.

Every machine must see the runs' folder under the same path: that is where results are, and what resuming reads.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cberl.training.core.parallel import Failure, Report, Task, exception_in, work
from cberl.training.core.runs import Result
from cberl.training.core.train import Epoch


class ClusterError(RuntimeError):
    """Ray cannot be used. The message says what to do."""


def run_on_ray(tasks: Sequence[Task], at_once: int, storage: Path, report: Report) -> None:
    """As `run_in_processes`, which has more to say on what is asked. Tune's own files go to `storage`.

    RAY_ADDRESS says which cluster; its size, not `at_once`, then limits how many run. Raises `ClusterError`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C is the caller's
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # paths mean the same in every worker
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise ClusterError("Ray is not installed: pip install 'cberl-engine[cluster]'") from error

    def trainable(config: dict[str, Any]) -> None:
        def tell(epoch: Epoch) -> None:
            tune.report({"epoch": asdict(epoch)})

        tune.report({"result": asdict(work(tasks[config["task"]], tell))})

    class Told(tune.Callback):  # type: ignore[misc]  # Ray is seen as Any
        def __init__(self, report: Report) -> None:
            self.report = report

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune keeps a copy on disk, and a terminal cannot be pickled

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            said = Result(**result["result"]) if "result" in result else Epoch(**result["epoch"])
            self.report(trial.config["task"], said)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            written = Path(trial.error_file).read_text() if trial.error_file else ""
            self.report(trial.config["task"], Failure(exception_in(written) or "no reason given"))

    local = "RAY_ADDRESS" not in os.environ
    ray.init(num_cpus=at_once * tasks[0].threads if local else None, include_dashboard=False if local else None)
    try:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": tasks[0].threads}),
            param_space={"task": tune.grid_search(list(range(len(tasks))))},
            run_config=tune.RunConfig(name="tune", storage_path=str(storage), callbacks=[Told(report)], verbose=0),
        ).fit()
    finally:
        ray.shutdown()
