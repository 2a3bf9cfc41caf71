"""What does the engine itself cost, without its models?

    python bench/overhead.py [--json] [--conversations 100] [--seconds 20] [--packet-ms 20 100]

A server in a process of its own whose models are functions that cost nothing: voice activity by loudness, and constant
features and probabilities. Everything else is the real engine: sockets, protocol, channels, turns, captions, order,
history, events. Its driver is that of `cberl bench`: captioned conversations of two tracks, of which half speak, in
packets of 20 ms as calls send them and of 100 ms as recorders do. The target is 15 % of a core for 100 conversations.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.benchmark.driver import Load, drive
from engine.benchmark.lateness import measured
from engine.benchmark.own_server import FLAGS, Server
from engine.benchmark.talk import bundled_clips
from testing.serving import served

TARGET = 0.15  # of a core, for 100 conversations
LOUD = 1e-5  # mean square of a window with speech: finds the turns of the recording that Silero VAD finds
BEFORE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import overhead; overhead.no_models()"


def no_models() -> None:
    """In the server's process: replaces the models, before they are loaded."""
    from cberl.encoders.audio import DescribedAudio
    from engine.conversation import models
    from engine.conversation.classifier import GraphResult
    from engine.conversation.model_backend import EncodersAndGraph, Recogniser
    from engine.speech.transcriber import Transcript
    from engine.speech.vad import VadResult

    class LoudnessVad:
        def run(self, requests: list[Any]) -> list[VadResult]:
            return [
                VadResult(it.state, (np.square(it.windows).mean(axis=1) > LOUD).astype(np.float32)) for it in requests
            ]

    def encoders_and_graph(checkpoint: Any, encoders: Any) -> EncodersAndGraph:
        audio = DescribedAudio(np.zeros(encoders.audio.config.raw_dim, np.float32))
        text = np.zeros(checkpoint.config.modality_dims["text"], np.float32)
        labels = len(checkpoint.config.labels)
        return EncodersAndGraph(
            encode_text=lambda requests: [text] * len(requests),
            describe_audio=lambda requests: [audio] * len(requests),
            describe_visual=lambda requests: [None] * len(requests),
            graph=lambda requests: [GraphResult([1 / labels] * labels, it.state) for it in requests],
        )

    silent = Recogniser(lambda clips: [Transcript("", "en", 1.0, "none")] * len(clips), "none", "No models.", 1)
    replaced: Any = models
    replaced.SileroVad, replaced.encoders_and_graph = LoudnessVad, encoders_and_graph
    replaced.load_recogniser = lambda settings: silent


async def measure(count: int, seconds: float, packet_ms: int) -> dict[str, Any]:
    library = await bundled_clips(packet_ms / 1e3)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), *FLAGS, before=BEFORE) as server:
        async with measured() as lateness:
            running = Server(server.url, None, server.process.pid)
            await drive(running, library, Load(3.0, captions=True), 1, lateness)  # warms up
            row = await drive(running, library, Load(seconds, captions=True), count, lateness)
    cores = row.server_cores or float("nan")
    return {
        "packet_ms": packet_ms,
        "conversations": row.conversations,
        "turns": row.turns,
        "missed": row.missed + row.failed,
        "p95_ms": row.p95_ms,
        "server_cores": cores,
        "cores_per_100": 100 * cores / row.conversations,
        "packets_per_s": row.conversations * 2 * 1000 / packet_ms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    parser.add_argument("--conversations", type=int, default=100, help="(default: 100)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time (default: 20)")
    parser.add_argument("--packet-ms", type=int, nargs="+", default=[20, 100], help="(default: 20 100)")
    options = parser.parse_args()
    rows = [asyncio.run(measure(options.conversations, options.seconds, it)) for it in options.packet_ms]
    if options.json:
        print(json.dumps(rows))
        return
    table = Table("packets of, ms", "conversations", "turns", "missed", "p95, ms", "server, cores", "cores per 100")
    for row in rows:
        table.add_row(
            str(row["packet_ms"]), str(row["conversations"]), str(row["turns"]), str(row["missed"]),
            f"{row['p95_ms'] or 0:.0f}", f"{row['server_cores']:.2f}", f"{row['cores_per_100']:.2f}",
        )  # fmt: skip
    table.caption = f"target: {TARGET:.2f} cores per 100 conversations"
    Console().print(table)


if __name__ == "__main__":
    main()
