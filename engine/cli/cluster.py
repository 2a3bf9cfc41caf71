"""`cberl cluster`"""

import logging
import signal
from contextlib import suppress
from typing import Any

import click

from engine.cli.common import settings_from, settings_options
from engine.cluster.connection import own_cluster
from engine.config import Settings

MODELS = ("whisper_model", "hub_timeout_s", "checkpoint", "text_encoder", "face_detector", "device", "log_")
OTHERS = tuple(name for name in Settings.model_fields if not name.startswith(MODELS))


@click.group("cluster")
def command() -> None:
    """Models on Ray Serve, shared by several engines."""


@command.command(
    epilog="""\b
Examples:
  cberl cluster up --least 2                       then, in other terminals:
  cberl serve --inference ray://127.0.0.1:6379     with the address that was printed
  cberl serve --inference ray://127.0.0.1:6379 --port 8766 --conversation-store redis://localhost
On other machines of the cluster: `ray start --address HOST:PORT`, with the same ~/.ray/auth_token."""
)
@click.option("--least", default=1, show_default=True, type=click.IntRange(1), help="Least replicas of each model.")
@click.option("--most", default=4, show_default=True, type=click.IntRange(1), help="Most replicas of each model.")
@click.option("--cores", default=1.0, show_default=True, type=float, help="Cores that each replica reserves.")
@click.option("--machine-cores", type=click.IntRange(1), help="Cores of this machine to use.  [default: all]")
@settings_options(without=OTHERS)
def up(least: int, most: int, cores: float, machine_cores: int | None, **flags: Any) -> None:
    """Start a Ray cluster on this machine and the models in it, until Ctrl-C."""
    settings = settings_from(flags)
    click.echo("starting Ray and loading models ...", err=True)
    logging.getLogger("ray").setLevel(logging.WARNING)
    with suppress(KeyboardInterrupt), own_cluster(machine_cores) as address:
        for number in (signal.SIGINT, signal.SIGTERM):  # Ray has set its own
            signal.signal(number, signal.default_int_handler)
        from engine.cluster.deployments import Scaling, deploy  # it imports Ray, which reads the environment then

        deploy(settings, Scaling(least, most, cores))
        click.echo(f"Models are served. Start engines with: cberl serve --inference {address}", err=True)
        while True:
            signal.pause()
