"""Several people at one microphone."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from cberl.types import Float32
from engine.events import EmotionEvent, SpeakerJoined, SpeakerLeft
from engine.media import AudioChunk
from engine.runtime.worker import Worker
from engine.speech.speaker_embedding import SpeakerEncoderError, load_speaker_encoder
from testing.live_engine import SCRIPT
from testing.scripted_talk import Source, chunks, emotions, quiet, running, talk, turn

TURNS = (1, 2, 3, 4, 5, 6)
ANN, ANGRY, BETWEEN = (np.array([np.cos(it), np.sin(it)], np.float32) for it in np.radians((0.0, 53.8, 26.0)))


def room(speaker: str, *, named: bool) -> Source:
    media: list[AudioChunk] = []
    for number in TURNS:
        at_s = media[-1].end_s if media else 0.0
        said = np.concatenate([turn(number), quiet(1.0)])
        media += chunks(said, speaker, text=SCRIPT.turns[number - 1].text, at_s=at_s, named=named)
    return Source(media)


def test_two_voices_on_one_track_are_two_speakers_unless_the_track_is_named() -> None:
    pytest.importorskip("torchaudio")
    try:
        load_speaker_encoder()
    except SpeakerEncoderError as error:
        pytest.skip(str(error))

    async def main() -> list[list[object]]:
        async with running() as supervisor:
            both = room("speaker-1", named=False), room("maya", named=True)
            return [await talk(supervisor, it, live=False) for it in both]

    told, as_named = asyncio.run(main())
    who = [SCRIPT.turns[number - 1].speaker for number in TURNS]
    wanted = ["speaker-1" if name == who[0] else "speaker-2" for name in who]
    assert [event.speaker for event in emotions(told)] == wanted
    came = [event.speaker for event in told if isinstance(event, SpeakerJoined)]
    went = [event.speaker for event in told if isinstance(event, SpeakerLeft)]
    assert came == ["speaker-1", "speaker-2"] == sorted(went)
    assert {event.speaker for event in emotions(as_named)} == {"maya"}


def test_when_two_speakers_are_merged_events_equal_those_with_one_speaker_from_the_start() -> None:
    """An angry voice is taken for another until its owner has been heard enough."""

    async def heard(*voices: Float32) -> list[object]:
        waiting = list(voices)
        worker = Worker(lambda clips: [waiting.pop(0) for _ in clips], name="voice")
        async with running(provisional_ms=0) as supervisor, worker:
            supervisor.models = replace(supervisor.models, embed_speaker=worker)
            return await talk(supervisor, room("room", named=False), live=False)

    told = asyncio.run(heard(ANN, ANGRY, BETWEEN, BETWEEN, ANN, ANGRY))
    known = emotions(asyncio.run(heard(*[ANN] * len(TURNS))))
    finals = [event for event in emotions(told) if event.status == "final"]
    assert [event.speaker for event in finals] == ["room", "room-2", *["room"] * 4]
    for event, wanted in zip(finals[3:], known[3:], strict=True):
        assert event.probabilities == pytest.approx(wanted.probabilities, abs=1.01e-4)
        assert event.shift == wanted.shift
    latest = {event.utterance: event for event in emotions(told)}
    for event, wanted in zip(latest.values(), known, strict=True):
        assert (event.speaker, event.emotion) == (wanted.speaker, wanted.emotion)
    (mended,) = [event for event in emotions(told) if event.utterance == finals[1].utterance and event.revision]
    assert (mended.status, mended.speaker, mended.revision) == ("corrected", "room", 1)
    assert (mended.start_s, mended.end_s, mended.text) == (finals[1].start_s, finals[1].end_s, finals[1].text)
    assert mended.probabilities == pytest.approx(known[1].probabilities, abs=1.01e-4)
    comings = [event for event in told if isinstance(event, SpeakerJoined | SpeakerLeft | EmotionEvent)]
    order = [(type(event).__name__, event.speaker) for event in comings]
    assert order.index(("SpeakerJoined", "room-2")) < order.index(("EmotionEvent", "room-2"))
    assert order.count(("SpeakerLeft", "room-2")) == 1
