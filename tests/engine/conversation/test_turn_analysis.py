"""From a turn to an utterance: what was heard is encoded against its past, and what is absent stays absent."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cberl.checkpoint import WEIGHTS
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig, AudioHistory, DescribedAudio
from cberl.encoders.conversation import ConversationHistory
from cberl.encoders.text import TextEncoder, TextHistory, TextInput
from cberl.encoders.visual import Seen
from cberl.types import SAMPLE_RATE, Float32
from engine.conversation.turn_analysis import PREVIEW_MS, TurnAnalysis, TurnAnalyzer, analyze_turn
from engine.conversation.utterance import Utterance
from engine.conversation.utterance_encoder import UtteranceEncoder
from engine.media import Track, VideoFrame
from engine.runtime.model_thread import ModelTimeoutError
from engine.runtime.worker import WorkerClosedError
from engine.speech.captions import Captions
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

AUDIO = AudioEncoderConfig((0.0,) * 8, (1.0,) * 8)
SECOND = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(WEIGHTS / "text")


def turn(turn_id: int = 1, pcm: Float32 = SECOND, frames: tuple[VideoFrame, ...] = ()) -> Turn:
    return Turn(turn_id, Track("a", "ann"), 0.0, 1.0, pcm, decided_s=1.5, frames=frames)


def said(text: str) -> Transcript:
    return Transcript(text, "en", None, "test")


def describe_all(encoder: TextEncoder, *heard: TurnAnalysis) -> list[Utterance]:
    async def encode(one: TextInput) -> Float32:
        return encoder.encode([one])[0]

    async def main() -> list[Utterance]:
        utterance_encoder = UtteranceEncoder(encode, ConversationHistory(encoder.prompt, AudioHistory(AUDIO)))
        return [await utterance_encoder.encode(one) for one in heard]

    return asyncio.run(main())


def heard(text: str, pcm: Float32 = SECOND) -> TurnAnalysis:
    return TurnAnalysis(turn(pcm=pcm), said(text), AudioEncoder(AUDIO).describe(pcm), None, {"transcribe": 1.0})


def test_an_utterance_is_encoded_in_the_context_of_those_before_it(encoder: TextEncoder) -> None:
    first, second = describe_all(encoder, heard("hello"), heard("fine"))
    history = TextHistory(encoder.prompt)
    for utterance, text in (first, "hello"), (second, "fine"):
        np.testing.assert_array_equal(utterance.text, encoder.encode([history.push("ann", text)])[0])
    assert first.audio is not None
    assert first.timings_ms.keys() == {"transcribe", "encode"}


def test_what_is_absent_stays_absent_and_is_not_remembered(encoder: TextEncoder) -> None:
    nothing, after = describe_all(encoder, heard("", np.zeros(SAMPLE_RATE, np.float32)), heard("fine"))
    assert nothing.text is nothing.audio is nothing.visual is None
    (alone,) = describe_all(encoder, heard("fine"))
    np.testing.assert_array_equal(after.text, alone.text)
    np.testing.assert_array_equal(after.audio, alone.audio)


def test_text_encoded_ahead_is_encoded_again_only_if_a_turn_came_in_between(encoder: TextEncoder) -> None:
    asked: list[TextInput] = []

    async def encode(one: TextInput) -> Float32:
        asked.append(one)
        return encoder.encode([one])[0]

    async def main() -> list[Utterance]:
        utterance_encoder = UtteranceEncoder(encode, ConversationHistory(encoder.prompt, AudioHistory(AUDIO)))
        first = await utterance_encoder.encode_ahead(heard("hello"))
        second = await utterance_encoder.encode_ahead(heard("fine"))
        return [await utterance_encoder.encode(one) for one in (first, second)]

    ahead = asyncio.run(main())
    assert len(asked) == 3
    for mine, wanted in zip(ahead, describe_all(encoder, heard("hello"), heard("fine")), strict=True):
        np.testing.assert_array_equal(mine.text, wanted.text)
        np.testing.assert_array_equal(mine.audio, wanted.audio)
        assert mine.timings_ms.keys() == wanted.timings_ms.keys()


def test_words_voice_and_face_are_analysed_concurrently() -> None:
    """Each waits for the others to have begun: one after the other would never end."""
    everybody = asyncio.Barrier(3)
    frame = VideoFrame(None, 0.0, np.zeros((2, 2, 3), np.uint8))  # type: ignore[arg-type]

    async def transcribe(pcm: Float32) -> Transcript:
        await everybody.wait()
        return said(str(len(pcm)))

    async def describe_audio(pcm: Float32) -> DescribedAudio:
        await everybody.wait()
        return DescribedAudio(pcm[:8], ("sigh",))

    async def describe_visual(frames: tuple[VideoFrame, ...]) -> Seen:
        await everybody.wait()
        return Seen(np.full(3, len(frames), np.float32), 0.5)

    result = asyncio.run(analyze_turn(turn(frames=(frame, frame)), transcribe, describe_audio, describe_visual))
    assert result.transcript.text == "16000"
    np.testing.assert_array_equal(result.audio.raw, SECOND[:8])
    assert result.audio.vocal_events == ("sigh",)
    assert result.visual is not None
    np.testing.assert_array_equal(result.visual.vector, [2, 2, 2])
    assert result.timings_ms.keys() == {"transcribe", "describe_audio", "describe_visual"}


def test_words_are_reported_before_the_other_models_are_done() -> None:
    async def main() -> list[Transcript]:
        words: list[Transcript] = []
        reported = asyncio.Event()

        def report(transcript: Transcript) -> None:
            words.append(transcript)
            reported.set()

        async def transcribe(pcm: Float32) -> Transcript:
            return said("hi")

        async def describe_audio(pcm: Float32) -> Float32:
            await reported.wait()  # never done, if words came only with the rest
            return pcm[:8]

        await analyze_turn(turn(), transcribe, describe_audio, describe_audio, on_words=report)  # type: ignore[arg-type]
        return words

    assert asyncio.run(main()) == [said("hi")]


def test_without_frames_the_visual_encoder_is_not_called() -> None:
    async def transcribe(pcm: Float32) -> Transcript:
        return said("hi")

    async def describe_audio(pcm: Float32) -> DescribedAudio:
        return DescribedAudio(pcm[:8], ("sigh",))

    async def describe_visual(frames: tuple[VideoFrame, ...]) -> Seen:
        raise AssertionError("there is nothing to see")

    result = asyncio.run(analyze_turn(turn(), transcribe, describe_audio, describe_visual))
    assert result.visual is None
    assert "describe_visual" not in result.timings_ms


def test_interim_events_have_text_only_where_the_recogniser_is_fast() -> None:
    """A slow recogniser must not delay final turns."""

    class Recogniser:
        pending = 0
        delay_s = 0.0

        async def __call__(self, pcm: Float32, key: object = None, *, awaited: bool = True) -> Transcript:
            await asyncio.sleep(self.delay_s)
            return said("hello")

    async def describe_audio(pcm: Float32, key: object = None, *, awaited: bool = True) -> DescribedAudio:
        return DescribedAudio(pcm[:8])

    async def main() -> list[bool]:
        recogniser = Recogniser()
        models = SimpleNamespace(
            transcribe=recogniser, describe_audio=describe_audio, describe_visual=describe_audio, embed_speaker=None
        )
        analyzer = TurnAnalyzer(models, "off")  # type: ignore[arg-type]
        found = [analyzer.previews_text]
        await analyzer.analyze(turn(), Captions())
        found.append(analyzer.previews_text)
        recogniser.delay_s = 2 * PREVIEW_MS / 1e3
        await analyzer.analyze(turn(), Captions())
        return [*found, analyzer.previews_text]

    assert asyncio.run(main()) == [False, True, False]


def test_what_a_model_cannot_do_is_missing_and_the_turn_goes_on(
    encoder: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(pcm: Float32) -> Transcript:
        raise ModelTimeoutError("too long")

    async def describe_audio(pcm: Float32) -> DescribedAudio:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    async def embed_speaker(pcm: Float32) -> Float32:
        raise ZeroDivisionError

    async def fail(text: TextInput) -> Float32:
        raise ZeroDivisionError

    async def end(pcm: Float32) -> Transcript:
        raise WorkerClosedError

    async def look(frames: tuple[VideoFrame, ...]) -> None:
        raise AssertionError("there are no frames")

    async def main() -> None:
        found = await analyze_turn(turn(), hang, describe_audio, look, embed_speaker)
        assert (found.transcript, found.audio, found.speaker_embedding) == (None, None, None)
        assert found.missing == {"text": "timeout", "audio": "out_of_memory", "speaker": "failed"}
        utterance_encoder = UtteranceEncoder(fail, ConversationHistory(encoder.prompt, AudioHistory(AUDIO)))
        ahead = await utterance_encoder.encode_ahead(heard("hello"))
        utterance = await utterance_encoder.encode(ahead)  # does not ask again
        assert (utterance.transcript.text, utterance.text, utterance.missing) == ("hello", None, {"text": "failed"})
        with pytest.raises(ExceptionGroup):
            await analyze_turn(turn(), end, None, look)

    asyncio.run(main())
    assert len([record for record in caplog.records if record.exc_info]) == 2
