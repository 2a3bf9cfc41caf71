"""`cberl export-step`"""

from pathlib import Path

import click

from cberl.live_checkpoint import add_step


@click.command(
    "export-step",
    epilog="""\b
Examples:
  cberl export-step runs/a/seed-3""",
)
@click.argument("checkpoints", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(checkpoints: tuple[Path, ...]) -> None:
    """Add step.onnx to CHECKPOINTS of an earlier version: the network as the live engine runs it on a CPU."""
    for folder in checkpoints:
        add_step(folder)
        click.echo(folder / "step.onnx")
