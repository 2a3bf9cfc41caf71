"""Where does the processor time of captioned conversations go, and how many cores do so many of them need?

    python bench/budget.py [--json] [--conversations 200] [--rounds 5]

Each stage by itself, on one thread, with the turns of the bundled recording: the least processor time of some rounds,
so that other work on the machine changes it little. From these: the cores of conversations in which somebody speaks
half of the time on one of two tracks, in packets of 100 ms, without interim events. Not in it are sockets and events
(`bench/overhead.py`), nor what threads lose to each other. Events are late long before all cores are used fully.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any, NamedTuple, cast

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from cberl.checkpoint_files import STARTER
from cberl.encoders.bundle import SPEECH, load_checkpoint_and_encoders
from cberl.encoders.prosody import prosody
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.text import TextHistory
from cberl.step.state import StepInput, initial_state
from cberl.types import Float32
from engine.benchmark.talk import LEAST_PAUSE_S, SPEAKERS, ClipLibrary, bundled_clips, payloads
from engine.config import Settings
from engine.demo.play import message, session_start
from engine.ingest.protocol import IngestProtocol
from engine.media import AudioChunk
from engine.runtime.cores import BLAS_THREADS
from engine.speech.turn_detector import TurnDetector, VadWorker, segmenter_config
from engine.speech.vad import WINDOW, SileroVad, VadRequest, VadResult, VadState

PACKET_S, SPEAKING = 0.1, 0.5
SECONDS = 60.0  # of a conversation, for what is counted in packets and windows
VAD_BATCH = 64
LOUD = 1e-5  # mean square of a window with speech: finds the turns that Silero VAD finds


class Stage(NamedTuple):
    """`ms` of processor time for each `unit`, of which a conversation has `per_s` per second."""

    stage: str
    unit: str
    ms: float
    per_s: float


def measure(library: ClipLibrary, rounds: int) -> list[Stage]:
    def least_ms(work: Callable[[], object], units: int) -> float:
        work()
        return 1e3 * min(_process_s(work) for _ in range(rounds)) / units

    turns = [np.frombuffer(b"".join(it.packets), "<i2").astype(np.float32) / 32_768 for it in library.clips]
    turn_s = float(np.mean([it.duration_s + max(LEAST_PAUSE_S, it.duration_s) for it in library.clips]))
    checkpoint, encoders = load_checkpoint_and_encoders(STARTER)
    speech, history, state = SpeechEncoder(SPEECH), TextHistory(encoders.text.prompt), initial_state(checkpoint.config)
    texts = [history.push(SPEAKERS[n % 2], it.text) for n, it in enumerate(library.clips)]
    utterance = StepInput(
        "ann", {name: np.zeros(dim, np.float32) for name, dim in checkpoint.config.modality_dims.items()}
    )
    messages = _messages(library)
    given = asyncio.run(_detect(messages))
    network = SileroVad()
    windows = [VadRequest(VadState(), turns[n % len(turns)][: 8 * WINDOW].reshape(8, WINDOW)) for n in range(VAD_BATCH)]
    packets, each_turn = len(SPEAKERS) / PACKET_S, 1 / turn_s
    return [
        Stage(
            "message to turn", "packet", least_ms(lambda: asyncio.run(_detect(messages)), len(messages) - 1), packets
        ),
        Stage("voice activity", "window", least_ms(lambda: network.run(windows), 8 * VAD_BATCH), given / SECONDS),
        Stage("prosody", "turn", least_ms(lambda: [prosody(pcm) for pcm in turns], len(turns)), each_turn),
        Stage(
            "speech emotion", "turn", least_ms(lambda: [speech.describe(pcm) for pcm in turns], len(turns)), each_turn
        ),
        Stage("text", "turn", least_ms(lambda: encoders.text.encode(texts), len(texts)), each_turn),
        Stage("network", "turn", least_ms(lambda: checkpoint.network.step([state], [utterance]), 1), each_turn),
    ]


def _messages(library: ClipLibrary) -> list[str | bytes]:
    """Of one conversation."""
    packets = payloads(library, library.conversation(SECONDS, SPEAKING, seed=0), 0, 0)
    return [
        session_start(SPEAKERS, captions=True),
        *(
            message(f"audio-{track + 1}", number * PACKET_S, payload)
            for number in range(round(SECONDS / PACKET_S))
            for track, payload in enumerate(next(packets))
        ),
    ]


async def _detect(messages: list[str | bytes]) -> int:
    """Find the turns, with voice activity by loudness. Returns how many windows the network would get."""
    given = 0

    async def vad(request: VadRequest) -> VadResult:
        nonlocal given
        given += len(request.windows)
        loudness: Float32 = np.square(request.windows).mean(axis=1)
        return VadResult(request.state, (loudness > LOUD).astype(np.float32))

    async def chunks() -> AsyncIterator[AudioChunk]:
        protocol = IngestProtocol()
        for one in messages:
            for result in protocol.receive(one):
                if isinstance(result, AudioChunk):
                    yield result

    detector = TurnDetector(cast(VadWorker, vad), segmenter_config(Settings()), count(1))
    async for _ in detector.detect(chunks()):
        pass
    return given


def _process_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    parser.add_argument("--conversations", type=int, default=200, help="(default: 200)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the fastest counts (default: 5)")
    options = parser.parse_args()
    with threadpool_limits(BLAS_THREADS, user_api="blas"):
        stages = measure(asyncio.run(bundled_clips(PACKET_S)), options.rounds)
    rows: list[dict[str, Any]] = [
        {
            "stage": it.stage,
            "unit": it.unit,
            "ms": round(it.ms, 3),
            "per_s": round(options.conversations * it.per_s, 1),
            "cores": round(options.conversations * it.per_s * it.ms / 1e3, 3),
        }
        for it in stages
    ]
    rows.append(
        {"stage": "all", "unit": "", "ms": None, "per_s": None, "cores": round(sum(it["cores"] for it in rows), 2)}
    )
    if options.json:
        print(json.dumps(rows))
        return
    table = Table("stage", "unit", "ms", "units per s", "cores", title=f"{options.conversations} conversations")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
