"""`cberl serve`"""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import click

from engine.access.setup import open_access
from engine.cli.common import run_async, settings_from, settings_options
from engine.cli.logs import logs_json, say
from engine.cli.setting_groups import SettingsCommand
from engine.config import Settings, is_loopback
from engine.runtime.hangs import Hangs
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.sinks import open_event_sinks
from engine.server.supervisor import open_supervisor

EXIT_S = 10.0  # from the signal
THREADS_S = 0.5  # for threads to end, when all else has
HUNG_STATUS = 70  # EX_SOFTWARE: for whoever restarts the engine


@click.command(
    "serve",
    cls=SettingsCommand,
    epilog="""\b
Examples:
  cberl serve                                  then open the printed address
  cberl serve --port 9000 --whisper-model base.en
  CBERL_WHISPER_MODEL=/models/large-v3 cberl serve
  cberl serve --print-config > cberl.toml      a file to start from""",
)
@settings_options()
def command(**flags: Any) -> None:
    """Run the engine: pages, /ingest and /events on one port.

    A setting comes from its flag, else from the environment (CBERL_PORT=9000), else from cberl.toml.
    """
    settings = settings_from(flags)
    ending = _Ending()
    run_async(_serve(settings, ending))
    if ending.status:
        raise click.exceptions.Exit(ending.status)


class _Ending:
    """The process ends within EXIT_S of the signal, whatever hangs."""

    def __init__(self) -> None:
        self.status = 0
        self._signalled = False

    def begin(self) -> None:
        """On the signal."""
        self._signalled = True
        _in_background(EXIT_S, self._give_up)

    async def on_hang(self, hangs: Hangs) -> None:
        """As on the signal, with another status, when a model hangs without which nothing goes on."""
        await hangs.restart_needed.wait()
        self.status = HUNG_STATUS
        signal.raise_signal(signal.SIGTERM)

    def all_closed(self) -> None:
        """Everything is stored. Threads may be left that wait for a name server."""
        if self._signalled:
            _in_background(THREADS_S, lambda: os._exit(self.status))

    def _give_up(self) -> None:
        say(f"the engine did not end within {EXIT_S:.0f} s and is stopped", logging.ERROR)
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(self.status or 1)


def _in_background(after_s: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(after_s, work)
    timer.daemon = True
    timer.start()


async def _serve(settings: Settings, ending: _Ending) -> None:
    say("loading models ...")
    async with open_event_sinks(settings) as sinks, open_supervisor(settings, sinks.hub, sinks.recorder) as supervisor:
        if supervisor.models.asr_note:
            say(supervisor.models.asr_note)
        with sinks.mqtt.control(supervisor) if sinks.mqtt else nullcontext():
            gc.collect()
            gc.freeze()  # models have a million objects, which a full collection would visit: pauses of 0.5 s
            access, admin_token = open_access(settings)
            app = create_app(supervisor, settings, sinks, access=access)
            watching = asyncio.create_task(ending.on_hang(supervisor.models.hangs), name="watch models")
            try:
                await serve(app, settings, partial(_greet, settings, admin_token), on_signal=ending.begin)
            finally:
                watching.cancel()
    ending.all_closed()


def _greet(settings: Settings, admin_token: str | None, url: str) -> None:
    say(f"CBERL Engine is at {url}  (Ctrl-C stops it)")
    if admin_token and logs_json():  # which others collect and read
        say("New keys were made: `cberl token --admin` prints a token.")
    elif admin_token:
        say(f"Open it once with this link, which is for you alone:\n  {url}/#token={admin_token}")
        say("`cberl token --help` makes others, for less and for a shorter time.")
    if not (is_loopback(settings.host) or settings.tls_cert):
        reached = "every address of this machine" if settings.host in ("0.0.0.0", "::") else settings.host
        say(f"other machines can reach it, at {reached}, without TLS (--insecure).", logging.WARNING)
    if settings.record:
        stored = f"the sound and pictures of all conversations are stored in {settings.record} (--record)."
        say(stored, logging.WARNING)
    if settings.no_auth:
        say("whoever reaches it may listen, publish and delete (--no-auth).", logging.WARNING)
