"""`--device` of the commands that train."""

import click

from cberl.checkpoint_files import CheckpointError
from cberl.device import resolve_device


def _resolved(_context: click.Context, _option: click.Parameter, device: str) -> str:
    try:
        return resolve_device(device)
    except CheckpointError as error:
        raise click.BadParameter(str(error)) from error


trains_on = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    callback=_resolved,
    help="Where to train; auto is the GPU if there is one.",
)
