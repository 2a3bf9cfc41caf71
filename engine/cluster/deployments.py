"""The deployments on Ray Serve. Their replicas have no state, so that any of them can answer any request.

engine ─ batch of one engine ─► router of Ray Serve ─► replica: batches of several engines as one
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ray import serve

from engine.config import Settings
from engine.conversation.model_backend import encoders_and_graph, load_configured, load_recogniser
from engine.conversation.saved_state import model_key

MAX_BATCH = 8  # calls of engines
WAIT_S = 0.002  # for further ones
PREFIX = "cberl-"  # of the applications

Run = Callable[[list[Any]], list[Any]]
Loaded = tuple[dict[str, Run], dict[str, str]]  # models by name, and what engines must know of them


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many replicas of each deployment there are, and how many cores each reserves."""

    least: int = 1
    most: int = 4
    cores: float = 1.0


class Replica:
    """One deployment's models. A call has the name of a model and a batch of requests; see `model_backend.py`."""

    def __init__(self, deployment: str, settings: dict[str, Any]) -> None:
        self._models, self._about = _LOAD[deployment](Settings(**settings))

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=WAIT_S)  # type: ignore[untyped-decorator]
    async def __call__(self, models: list[str], requests: list[list[Any]]) -> list[list[Any] | Exception]:
        """The results of each call, or what it raised. Ray's router chooses the replica."""
        return await asyncio.to_thread(self._run, models, requests)

    def about(self) -> dict[str, str]:
        """What engines must know of it."""
        return self._about

    def _run(self, models: Sequence[str], requests: Sequence[list[Any]]) -> list[list[Any] | Exception]:
        answers: list[list[Any] | Exception] = [[] for _ in models]
        calls: dict[str, list[int]] = defaultdict(list)
        for n, model in enumerate(models):
            calls[model].append(n)
        for model, numbers in calls.items():
            for n, answer in zip(numbers, _together(self._models[model], [requests[n] for n in numbers]), strict=True):
                answers[n] = answer
        return answers


def _together(run: Run, calls: list[list[Any]]) -> list[list[Any] | Exception]:
    """All calls as one batch; one by one where that fails, so that an error reaches its own call alone."""
    try:
        results = iter(run([request for call in calls for request in call]))
        return [[next(results) for _ in call] for call in calls]
    except Exception as error:  # noqa: BLE001 - for the engine that asked
        return [error] if len(calls) == 1 else [_together(run, [call])[0] for call in calls]


def _transcriber(settings: Settings) -> Loaded:
    recogniser = load_recogniser(settings)
    return {"transcribe": recogniser.transcribe}, {"name": recogniser.name, "note": recogniser.note}


def _of_checkpoint(names: Sequence[str], settings: Settings) -> Loaded:
    checkpoint, encoders = load_configured(settings)
    models = encoders_and_graph(checkpoint, encoders)
    return {name: getattr(models, name) for name in names}, {"model_key": model_key(checkpoint)}


ENCODERS = ("encode_text", "describe_audio", "describe_visual")
_LOAD: dict[str, Callable[[Settings], Loaded]] = {
    "transcriber": _transcriber,
    "encoders": partial(_of_checkpoint, ENCODERS),
    "graph": partial(_of_checkpoint, ("graph",)),
}
DEPLOYMENTS = tuple(_LOAD)


def application(arguments: Mapping[str, Any]) -> serve.Application:
    """One deployment, for `deploy` and for the configuration files of Ray Serve.

    `deployment` is one of DEPLOYMENTS; `settings` are those of the engine, `scaling` the fields of `Scaling`.
    """
    name, scaling = arguments["deployment"], Scaling(**arguments.get("scaling", {}))
    deployment = serve.deployment(Replica).options(
        name=name,
        autoscaling_config={
            "min_replicas": scaling.least,
            "max_replicas": max(scaling.least, scaling.most),
            "target_ongoing_requests": 2,
        },
        max_ongoing_requests=4 * MAX_BATCH,
        ray_actor_options={"num_cpus": scaling.cores},
        health_check_period_s=2,
        health_check_timeout_s=10,
    )
    return deployment.bind(name, dict(arguments.get("settings", {})))


def deploy(settings: Settings, scaling: Scaling) -> None:
    """Start the deployments in the Ray cluster of this process, or replace them. Returns when they are ready."""
    serve.start(proxy_location="Disabled")  # engines call by handle
    for name in DEPLOYMENTS:
        arguments = {"deployment": name, "settings": settings.model_dump(), "scaling": asdict(scaling)}
        serve.run(application(arguments), name=f"{PREFIX}{name}", route_prefix=None)
