"""An engine's calls of the deployments on Ray Serve."""

import logging
from functools import partial
from typing import Any

from engine.cluster.connection import ClusterError, join
from engine.conversation.model_backend import EncodersAndGraph, ModelBackend, Recogniser

DEPLOYMENTS = ("transcriber", "encoders", "graph")
ATTEMPTS = 4  # a call begins again at another replica when its replica dies
ANSWER_S = 30.0
START_S = 120.0  # for the models of the first replica
PARALLEL = 8  # calls of each model that one engine has in progress

log = logging.getLogger(__name__)


class Deployments:
    """Handles of all deployments. Raises ClusterError where one is missing."""

    def __init__(self) -> None:
        from ray import serve
        from ray.exceptions import RayActorError
        from ray.serve.exceptions import RayServeException

        self._gone = (RayActorError, RayServeException)
        try:
            self._handles = {name: serve.get_app_handle(f"cberl-{name}") for name in DEPLOYMENTS}
        except RayServeException as error:
            raise ClusterError("the cluster serves no models of CBERL: start them with `cberl cluster up`") from error

    def about(self, deployment: str) -> dict[str, str]:
        about: dict[str, str] = self._handles[deployment].about.remote().result(timeout_s=START_S)
        return about

    def call(self, deployment: str, model: str, requests: list[Any]) -> list[Any]:
        """Blocking. Raises what the model raises, and ClusterError where no replica answers."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._handles[deployment].remote(model, requests).result(timeout_s=ANSWER_S)
            except self._gone as error:
                log.warning("a replica of %s has gone (%s), attempt %d", model, type(error).__name__, attempt)
            except TimeoutError as error:
                raise ClusterError(f"no replica has answered for {model} within {ANSWER_S:g} s") from error
            else:
                if isinstance(answer, Exception):
                    raise answer
                results: list[Any] = answer
                return results
        raise ClusterError(f"no replica answers for {model}")


def remote_backend(address: str) -> ModelBackend:
    """The models of the cluster at `ray://HOST:PORT`. Blocking. Raises ClusterError."""
    join(address)
    deployments = Deployments()
    recogniser = deployments.about("transcriber")
    keys = {deployments.about(name)["model_key"] for name in ("encoders", "graph")}
    if len(keys) != 1:
        raise ClusterError("the deployments of the cluster have different checkpoints: start them again")
    encoders = partial(deployments.call, "encoders")
    return ModelBackend(
        Recogniser(
            partial(deployments.call, "transcriber", "transcribe"),
            recogniser["name"],
            f"{recogniser['note']} It runs in the cluster at {address}.",
            PARALLEL,
        ),
        EncodersAndGraph(
            encode_text=partial(encoders, "encode_text"),
            describe_audio=partial(encoders, "describe_audio"),
            describe_visual=partial(encoders, "describe_visual"),
            graph=partial(deployments.call, "graph", "graph"),
            parallel=PARALLEL,
        ),
        keys.pop(),
    )
