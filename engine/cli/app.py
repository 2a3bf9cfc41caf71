"""The group of verbs. A verb's module is imported when it is called, so that `--help` is instant."""

import importlib
import os
import sys

import click

VERBS = {
    "serve": "Run the engine: pages, /ingest and /events on one port.",
    "run": "Emotions of a recording, turn by turn.",
    "demo": "Play a spoken conversation into a running engine and watch.",
    "mqtt": "Look at what an MQTT broker is told.",
    "doctor": "What works on this machine, what is missing, how to get it.",
    "models": "Whisper models: which are here, and how to get others.",
    "data": "Check a corpus, or turn it into features.",
    "train": "Train CBERL on MELD.",
    "sweep": "Train every combination of a grid with every seed.",
    "evaluate": "Score checkpoints: F1 by class, confusion matrix.",
    "report": "Compare groups of runs: tables, plots, every figure as JSON.",
    "finetune-text": "Fine-tune and export the text encoder.",
    "train-encoder": "Train and export the speech or the expression encoder.",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"engine.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `cberl demo`. Each command explains itself: `cberl COMMAND --help`.",
)
@click.version_option(package_name="cberl-engine")
def cli() -> None:
    """CBERL Engine: streaming emotion recognition in conversations."""


def main() -> None:
    """Console entry: errors that a user can mend are one line, Ctrl-C ends with the shell's own code."""
    try:
        cli.main(prog_name="cberl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has left (`cberl run … | head`): nothing more to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
