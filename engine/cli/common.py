"""What commands share: settings as flags, errors as one line."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from engine.cli.logs import configure_logging
from engine.config import SECRETS, Settings, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])
SERVER = (
    "host",
    "port",
    "insecure",
    "no_auth",
    "keys",
    "allow_",
    "trusted_",
    "max_connections",
    "max_sessions_per",
    "new_sockets",
    "media_mb",
    "captions_per",
    "pictures_per",
    "video_cores",
)
SINKS = (
    "event_log",
    "keep_text",
    "socket_text",
    "disclosure",
    "mqtt",
    "home_assistant",
    "webhook",
    "change_",
    "record",
)
LISTENING = tuple(name for name in Settings.model_fields if name.startswith(SERVER))
KEEPING = tuple(name for name in Settings.model_fields if name.startswith(SINKS))  # for `serve` alone


def settings_options(*, without: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Every setting as a flag, and `--config` and `--print-config`. The command gets them all in `**flags`."""

    def add(command: Command) -> Command:
        for name, field in reversed(Settings.model_fields.items()):
            if name not in (*without, *SECRETS):
                command = _flag(name, field.annotation, field.description or "", field.default)(command)
        command = click.option("--print-config", is_flag=True, help="Print the settings as TOML and stop.")(command)
        file = click.Path(exists=True, dir_okay=False, path_type=Path)
        return click.option("--config", type=file, help="TOML file of settings  [default: cberl.toml]")(command)

    return add


def _flag(name: str, kind: Any, description: str, default: Any) -> Callable[[Command], Command]:
    option = "--" + name.replace("_", "-")
    shown = f"{description}  [default: {default}]" if default != "" else description
    if kind is bool and default:
        return click.option(f"{option}/--no-{option.removeprefix('--')}", default=None, help=shown)
    if kind is bool:
        return click.option(option, is_flag=True, default=None, help=description)
    choices = click.Choice(get_args(kind)) if get_origin(kind) is Literal else None
    return click.option(option, type=choices or kind, default=None, help=shown)


def settings_from(flags: dict[str, Any]) -> Settings:
    """Removes the settings from a command's flags and loads them. Handles `--print-config`. Raises SettingsError."""
    config, show = flags.pop("config"), flags.pop("print_config")
    flagged = {name: flags.pop(name) for name in list(flags) if name in Settings.model_fields}
    settings = load_settings(flagged, config)
    if show:
        click.echo(settings.to_toml(), nl=False)
        raise click.exceptions.Exit(0)
    configure_logging(settings.log_level.upper(), as_json=settings.log_format == "json")
    return settings


def run_async(main: Coroutine[Any, Any, None]) -> None:
    """Runs a command's coroutine. Ctrl-C cancels it, so that everything is closed on the way out."""
    try:
        asyncio.run(main)
    except* BrokenPipeError as gone:
        raise BrokenPipeError("the reader of the output has left") from gone
