"""Joins a Ray cluster, with the token that its machines share."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from engine.errors import EngineError

SCHEME = "ray://"
TOKEN_FILE = Path("~/.ray/auth_token")  # where Ray looks for it
NAMESPACE = "cberl"


class ClusterError(EngineError):
    """The cluster cannot be used; the message says why and what to do."""


def check_installed() -> None:
    """Raises ClusterError."""
    if find_spec("ray") is None:
        raise ClusterError("Ray is not installed: pip install 'cberl-engine[cluster]'")


@contextmanager
def own_cluster(cores: int | None) -> Iterator[str]:
    """Starts a cluster on this machine, until the block ends. Yields its address. Raises ClusterError."""
    check_installed()
    _use_token(create=True)
    import ray

    ray.init(
        num_cpus=cores,
        include_dashboard=False,
        namespace=NAMESPACE,
        logging_level="warning",
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        yield SCHEME + ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()


def join(address: str) -> None:
    """Become part of the cluster at `ray://HOST:PORT`. Raises ClusterError."""
    if not address.startswith(SCHEME) or ":" not in address.removeprefix(SCHEME):
        raise ClusterError(f"inference: the address of a cluster is ray://HOST:PORT, not {address!r}")
    check_installed()
    _use_token(create=False)
    import ray

    try:
        ray.init(
            address=address.removeprefix(SCHEME),
            namespace=NAMESPACE,
            logging_level="error",
            log_to_driver=False,
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"there is no Ray cluster at {address}, or this machine is not part of it: start one with "
            "`cberl cluster up`, or join it with `ray start --address HOST:PORT --num-cpus 0`"
        ) from error


def _use_token(*, create: bool) -> None:
    """Before Ray is imported, which reads the environment then."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(given) if given else TOKEN_FILE.expanduser()
    if create and "RAY_AUTH_TOKEN" not in os.environ and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
