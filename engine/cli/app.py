"""The group of commands. The module of a command is imported when it is called, so that `--help` is instant."""

import importlib
import os
import sys
from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem

from cberl.errors import CberlError, train_extra

COMMANDS = {
    "serve": "Run the engine: pages, /ingest and /events on one port.",
    "run": "Emotions of recordings, turn by turn.",
    "export": "Logged conversations as captions, tables, annotations, reports.",
    "demo": "Play a spoken conversation into a running engine and watch.",
    "replay": "Run a recorded conversation again, with the same events.",
    "bench": "How many conversations an engine serves in time.",
    "mqtt": "Show what an MQTT broker receives.",
    "token": "Make a token for others to use the engine, or withdraw one.",
    "cluster": "Models on Ray Serve, shared by several engines.",
    "doctor": "What works on this machine, what is missing, how to get it.",
    "models": "Whisper models: which are here, and how to get others.",
    "data": "Check a corpus, or turn it into features.",
    "train": "Train CBERL on a corpus.",
    "sweep": "Train every combination of a grid with every seed.",
    "evaluate": "Score checkpoints: F1 by class, confusion matrix.",
    "report": "Compare groups of runs: tables, plots, every figure as JSON.",
    "finetune-text": "Fine-tune and export the text encoder.",
    "train-encoder": "Train and export the speech or the expression encoder.",
    "export-step": "Add step.onnx to a checkpoint of an earlier version.",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with train_extra():
            module = importlib.import_module(f"engine.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Converts errors meant for users to ClickException, also those within the groups that tasks raise."""
        try:
            return super().invoke(ctx)
        except* CberlError as group:
            messages = dict.fromkeys(str(error) for error in _leaves(group))
            raise click.ClickException("\n".join(messages)) from group

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and options of this group, without importing the commands."""
        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""Start with `cberl demo`. Each command explains itself: `cberl COMMAND --help`.

    \b
    Completion in bash, for ~/.bashrc (zsh and fish: zsh_source, fish_source):
      eval "$(_CBERL_COMPLETE=bash_source cberl)" """,
)
@click.version_option(package_name="cberl-engine")
def cli() -> None:
    """CBERL Engine: streaming emotion recognition in conversations."""


def main() -> None:
    """Console entry. Exits with the status of the command; errors meant for users are one line, Ctrl-C exits with 130.

    With `standalone_mode=False` click returns the status of `Context.exit` instead of exiting with it.
    """
    try:
        result = cli.main(prog_name="cberl", standalone_mode=False)
        status = result if isinstance(result, int) else 0
    except click.ClickException as error:
        from engine.cli.logs import show_error  # imports more than `--help` needs

        show_error(error)
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        status = 130
    except BrokenPipeError:
        # The reader of our output has left (`cberl run … | head`): write nothing more, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    sys.exit(status)


def _leaves(group: BaseExceptionGroup[CberlError]) -> Iterator[CberlError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
