"""Does a silence that adapts to the words end turns where they end? Fixed against adaptive, against references.

    python bench/turn_ends.py CONVERSATIONS [--end-silence-ms 500] [--min-ms 300] [--max-ms 1000] [--json]

CONVERSATIONS is a folder with pyannote_sample.wav and .rttm, and AMI excerpts in ami/ with debug.train.rttm. The demo's
two channels are included, with the turns of its script. The words come from the recogniser of the live engine, at the
provisional end of each turn, as they do live.

"pauses inside turns" counts silences of `provisional_ms` or more inside a reference turn, "cut" those in which a turn
was ended. A reference turn is what one speaker says without another one starting in between, with pauses of at most two
seconds. "median ms" and "mean ms" are of the silence after which turns were final.
"""

import argparse
import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import engine.demo
from engine.config import Settings
from engine.conversation.models import Models, open_models
from engine.demo.score import read_script
from engine.ingest.file import read_media
from engine.speech.turn import Turn, TurnResumed
from engine.speech.turn_detector import TurnDetector, segmenter_config
from engine.speech.turn_end import EndSilence

LONGEST_PAUSE_S = 2.0
DEMO = Path(engine.demo.__file__).parent

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ends:
    """What became of the pauses of one recording."""

    pauses: int = 0  # inside a reference turn
    cuts: int = 0  # of those
    silences_ms: tuple[float, ...] = ()

    def __add__(self, other: "Ends") -> "Ends":
        return Ends(self.pauses + other.pauses, self.cuts + other.cuts, self.silences_ms + other.silences_ms)


def reference_turns(path: Path) -> dict[str, list[Span]]:
    """Reference turns by recording, from an RTTM file."""
    segments: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        _, name, _, start, duration, _, _, speaker, *_ = line.split()
        segments[name].append((float(start), float(start) + float(duration), speaker))
    return {name: list(joined(sorted(its))) for name, its in segments.items()}


def joined(segments: Iterable[tuple[float, float, str]]) -> Iterable[Span]:
    turn: tuple[float, float, str] | None = None
    for start_s, end_s, speaker in segments:
        if turn and speaker == turn[2] and start_s - turn[1] <= LONGEST_PAUSE_S:
            turn = turn[0], max(turn[1], end_s), speaker
            continue
        if turn:
            yield turn[:2]
        turn = start_s, end_s, speaker
    if turn:
        yield turn[:2]


async def measure(recording: Path, turns: dict[str, list[Span]], models: Models, settings: Settings) -> Ends:
    """`turns` by track id."""
    adaptive = EndSilence(settings.end_silence_ms, settings.end_silence_min_ms, settings.end_silence_max_ms)
    detector = TurnDetector(models.vad, segmenter_config(settings), itertools.count(1))
    provisional: dict[int, Turn] = {}
    found = Ends()
    async for update in detector.detect(read_media(str(recording))):
        match update:
            case Turn(stage="provisional"):
                provisional[update.turn_id] = update
                detector.end_after(update, adaptive.after((await models.transcribe(update.pcm)).text))
            case TurnResumed(turn_id=turn_id):
                found += Ends(pauses=inside(provisional[turn_id], turns))
            case Turn(stage="final", truncated=False):
                cut = inside(update, turns)
                found += Ends(cut, cut, ((update.decided_s - update.end_s) * 1e3,))
    return found


def inside(turn: Turn, turns: dict[str, list[Span]]) -> int:
    """1 where the end of this turn lies inside a reference turn of its track, a quarter of a second from its ends."""
    spans = turns.get(turn.track.id, [])
    return int(any(start_s + 0.25 < turn.end_s < end_s - 0.25 for start_s, end_s in spans))


async def compare(conversations: Path, settings: Settings) -> dict[str, dict[str, Ends]]:
    ami = reference_turns(conversations / "ami" / "debug.train.rttm")
    sample = reference_turns(conversations / "pyannote_sample.rttm")
    script = read_script(DEMO / "conversation.json")
    demo = {
        f"audio-{n + 1}": [(it.start_s, it.end_s) for it in script.turns if it.speaker == speaker]
        for n, speaker in enumerate(script.speakers)
    }
    recordings = [("AMI", path, {"audio-1": ami[path.stem]}) for path in sorted((conversations / "ami").glob("*.flac"))]
    recordings.append(("pyannote sample", conversations / "pyannote_sample.wav", {"audio-1": sample["sample"]}))
    recordings.append(("demo", DEMO / "conversation.flac", demo))
    fixed_ms = settings.end_silence_ms
    fixed = settings.model_copy(update={"end_silence_min_ms": fixed_ms, "end_silence_max_ms": fixed_ms})
    rows: dict[str, dict[str, Ends]] = defaultdict(dict)
    async with open_models(settings) as models:
        for part, path, turns in recordings:
            for name, chosen in ("fixed", fixed), ("adaptive", settings):
                rows[part][name] = rows[part].get(name, Ends()) + await measure(path, turns, models, chosen)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversations", type=Path)
    defaults = Settings()
    parser.add_argument("--end-silence-ms", type=int, default=defaults.end_silence_ms)
    parser.add_argument("--min-ms", type=int, default=defaults.end_silence_min_ms)
    parser.add_argument("--max-ms", type=int, default=defaults.end_silence_max_ms)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    settings = Settings(
        end_silence_ms=args.end_silence_ms, end_silence_min_ms=args.min_ms, end_silence_max_ms=args.max_ms
    )
    rows = asyncio.run(compare(args.conversations, settings))
    summary = [
        {
            "recordings": part,
            "silence": name,
            "turns": len(ends.silences_ms),
            "pauses inside turns": ends.pauses,
            "cut": ends.cuts,
            "median ms": float(np.median(ends.silences_ms)),
            "mean ms": float(np.mean(ends.silences_ms)),
        }
        for part, both in rows.items()
        for name, ends in both.items()
    ]
    if args.json:
        print(json.dumps(summary))
        return
    table = Table(*summary[0])
    for row in summary:
        table.add_row(*(f"{value:.0f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
