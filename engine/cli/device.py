"""`--device` of the commands that train."""

import click
import torch


def _present(_context: click.Context, _option: click.Parameter, device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("PyTorch sees no GPU here: leave the option away to train on the CPU")
    return device


trains_on = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    callback=_present,
    help="Where to train.",
)
