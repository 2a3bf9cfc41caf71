"""Turns, words and delay over a network that loses packets.

    python bench/loss.py [--seconds 96] [--jitter-ms 200] [--seed 0] [--json]

The demo conversation's two speakers publish by WHIP (aiortc, Opus) in real time, to a server with real models.
The network is simulated in the sender: each packet of media is lost or delayed at random, by the seed, so that packets
are also reordered. The first row is a network without loss or delay. A turn counts as found when one final event of its
speaker covers half of it. The word error rate is over all words.
"""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cberl.types import SAMPLE_RATE
from engine.delivery.wire import decode
from engine.demo.score import Script, ScriptedTurn, word_error_rate
from engine.events import EmotionEvent, SpeakerLeft
from testing.live_engine import SCRIPT, demo, ws
from testing.lossy_network import LossyNetwork
from testing.server_process import server_apart
from testing.whip_client import Published, Voice, publishing

LOSSES = (0.0, 0.05, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=96.0, help="how much of the demo is said (default: 96, all)")
    parser.add_argument("--jitter-ms", type=float, default=200.0, help="how late a packet is at most (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(rows))
        return
    title = "words ratio: of the words right in the first row, this share is right still"
    table = Table(title=title, title_justify="left")
    for heading in rows[0]:
        table.add_column(heading.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    Console().print(table)


async def measure(options: argparse.Namespace) -> list[dict[str, float]]:
    script = Script(SCRIPT.speakers, tuple(turn for turn in SCRIPT.turns if turn.end_s <= options.seconds))
    rows: list[dict[str, float]] = []
    for loss, jitter_ms in ((0.0, 0.0), *((loss, options.jitter_ms) for loss in LOSSES)):
        network = LossyNetwork(loss, jitter_ms / 1e3, options.seed)
        async with server_apart() as (url, _):
            events, accounts = await said(url, network, options.seconds)
        row = {"loss_%": 100 * loss, "jitter_ms": jitter_ms} | summary(script, events, accounts)
        words_ratio = (1 - row["wer"]) / (1 - (rows or [row])[0]["wer"])
        rows.append(row | {"packets": network.sent, "lost": network.lost, "words_ratio": round(words_ratio, 3)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


async def said(url: str, network: LossyNetwork, seconds: float) -> tuple[list[EmotionEvent], list[dict[str, Any]]]:
    """The final events of both speakers, and the server's totals of their media."""
    voices = [Voice(channel[: round(seconds * SAMPLE_RATE)]) for channel in demo()]
    published: list[Published] = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        heard = tasks.create_task(finals(await stack.enter_async_context(ws(url, "/events?conversation=bench"))))
        for name, voice in zip(SCRIPT.speakers, voices, strict=True):
            published.append(await stack.enter_async_context(publishing(url, "bench", name, voice)))
            network.carry(published[-1].connection)
        for voice in voices:
            await voice.said.wait()
        await asyncio.sleep(1.0)  # silence that ends the last turn
        await network.arrived()
        accounts = await asyncio.gather(*(one.hang_up() for one in published))
    return heard.result(), accounts


async def finals(watcher: ClientConnection) -> list[EmotionEvent]:
    """All final events until both speakers have left."""
    events: list[EmotionEvent] = []
    speakers = len(SCRIPT.speakers)
    while speakers:
        _, message = decode(await watcher.recv())
        if isinstance(message, EmotionEvent):
            events.append(message)
        speakers -= isinstance(message, SpeakerLeft)
    return events


def summary(script: Script, events: list[EmotionEvent], accounts: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "turns": len(script.turns),
        "found": sum(any(covers(event, turn) for event in events) for turn in script.turns),
        "finals": len(events),
        "wer": round(word_error_rate(script, events), 3),
        "gaps": sum(account["gaps"] for account in accounts),
        "missing_s": round(sum(account["missing_s"] for account in accounts), 1),
    }


def covers(event: EmotionEvent, turn: ScriptedTurn) -> bool:
    shared_s = min(event.end_s, turn.end_s) - max(event.start_s, turn.start_s)
    return event.speaker == turn.speaker and shared_s > (turn.end_s - turn.start_s) / 2


if __name__ == "__main__":
    main()
