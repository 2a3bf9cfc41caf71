import json
import math
import struct

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Error
from engine.ingest.protocol import Ended, IngestProtocol, Picture, Started
from engine.media import AudioChunk, Caption, Track

MIC = {"id": "mic", "speaker": "alice", "kind": "audio", "codec": "pcm_s16le", "sample_rate": 16_000, "channels": 1}

CAMERA = {"id": "cam", "speaker": "alice", "kind": "video", "codec": "jpeg"}


def start(*tracks):
    return json.dumps({"type": "session.start", "tracks": list(tracks)})


def frame(samples=(0,) * 320, at_s=0.0, track="mic", version=1):
    name = track.encode()
    header = struct.pack("<BB", version, len(name)) + name + struct.pack("<d", at_s)
    return header + np.asarray(samples, "<i2").tobytes()


def caption(**changes):
    fields = {"track": "mic", "start_s": 1.0, "end_s": 2.0, "text": "Hello."} | changes
    return json.dumps({"type": "caption"} | fields)


def started(**kwargs):
    protocol = IngestProtocol(**kwargs)
    (answer,) = protocol.receive(start(MIC))
    assert answer == Started((Track("mic", "alice"),))
    return protocol


def joined(chunks):
    return np.concatenate([chunk.pcm for chunk in chunks])


def test_samples_have_the_right_times_and_scale():
    protocol = started()
    (chunk,) = protocol.receive(frame([0, 16_384, -32_768, 32_767], at_s=1.5))
    assert (chunk.track, chunk.start_s, chunk.pcm.dtype) == (Track("mic", "alice"), 1.5, np.float32)
    assert chunk.pcm.tolist() == [0.0, 0.5, -1.0, 32_767 / 32_768]
    assert list(protocol.receive('{"type": "session.end"}')) == [Ended()]


def test_a_large_frame_becomes_small_contiguous_chunks():
    samples = np.arange(16_000, dtype=np.int16)
    chunks = list(started().receive(frame(samples, at_s=2.0)))
    assert max(len(chunk.pcm) for chunk in chunks) == 1_600
    assert [chunk.start_s for chunk in chunks] == pytest.approx([2.0 + i / 10 for i in range(10)])
    assert np.array_equal(joined(chunks) * 32_768, samples)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled_as_one_stream(rate):
    protocol = IngestProtocol()
    list(protocol.receive(start(MIC | {"sample_rate": rate})))

    def tone(rate):
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)

    samples = (tone(rate) * 32_767).astype(np.int16)
    chunks, at = [], 0
    for size in np.resize([rate // 50, 37, 1, rate // 3], 40):
        chunks += protocol.receive(frame(samples[at : at + size], at_s=3.0 + at / rate))
        at += size
    chunks += protocol.receive(frame(samples[at:], at_s=3.0 + at / rate))
    *chunks, ended = [*chunks, *protocol.receive('{"type": "session.end"}')]
    assert ended == Ended()
    starts = np.array([chunk.start_s for chunk in chunks])
    assert np.allclose(starts, 3.0 + np.cumsum([0, *(len(chunk.pcm) for chunk in chunks[:-1])]) / 16_000)
    assert len(joined(chunks)) == 32_000
    assert np.abs(joined(chunks) - tone(16_000))[200:-200].max() < 2e-4


def test_a_jittery_clock_moves_no_sample():
    protocol = started()
    chunks = []
    for at_s in (5.0, 5.02 + 0.09, 5.04 - 0.09, 5.06 + 0.05):
        chunks += protocol.receive(frame(at_s=at_s))
    assert [chunk.start_s for chunk in chunks] == pytest.approx([5.0, 5.02, 5.04, 5.06])


def test_float_samples_are_kept_unless_they_are_not_finite():
    protocol = IngestProtocol()
    list(protocol.receive(start(MIC | {"codec": "pcm_f32le"})))
    floats = np.array([0.25, -0.5, 3.0], "<f4")
    (chunk,) = protocol.receive(packet(floats.tobytes()))
    assert chunk.pcm.tolist() == [0.25, -0.5, 1.0]
    (answer,) = protocol.receive(packet(np.array([math.inf], "<f4").tobytes()))
    assert answer.code == "bad_payload"
    (answer,) = protocol.receive(packet(b"\0\0"))
    assert answer.code == "truncated_frame"


def test_opus_packets_are_decoded():
    protocol = IngestProtocol()
    list(protocol.receive(start(MIC | {"codec": "opus", "sample_rate": 48_000})))
    tone = (8_000 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)).astype("<i2")
    chunks = []
    for number, payload in enumerate(opus(tone)):
        chunks += protocol.receive(packet(payload, at_s=7.0 + number * 0.02))
        if number == 20:
            (answer,) = protocol.receive(packet(b"\xff\xff\xff", at_s=7.42))
            assert answer.code == "bad_payload"
            assert list(protocol.receive(packet(b"", at_s=7.42))) == []
    pcm = joined([*chunks, *protocol.close()])
    assert chunks[0].start_s == 7.0
    assert len(pcm) == pytest.approx(16_000, abs=700)
    assert np.abs(np.fft.rfft(pcm[4_000:12_000])).argmax() == 220  # 440 Hz in half a second
    assert np.abs(pcm).max() == pytest.approx(8_000 / 32_768, rel=0.1)


def opus(samples):
    """Opus packets of 20 ms each, from int16[n] at 48 kHz."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.format, encoder.layout, encoder.sample_rate, encoder.bit_rate = "s16", "mono", 48_000, 64_000
    for at in range(0, len(samples), 960):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 960], format="s16", layout="mono")
        frame.sample_rate = 48_000
        yield from map(bytes, encoder.encode(frame))


def packet(payload, at_s=0.0, track="mic"):
    return frame([], at_s, track) + payload


def test_video_is_sampled_and_large_pictures_are_refused():
    protocol = IngestProtocol(video_fps=3)
    list(protocol.receive(start(MIC, CAMERA)))
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    answers = [it for n in range(90) for it in protocol.receive(packet(jpeg, at_s=2.0 + n / 30, track="cam"))]
    assert all(isinstance(it, Picture) and it.track == Track("mic", "alice") for it in answers)
    assert [it.at_s for it in answers] == pytest.approx([2.0 + n / 3 for n in range(9)], abs=0.04)
    huge = jpeg.replace(bytes([0, 48, 0, 64]), b"\xff\xff\xff\xff", 1)
    for payload, code in ((huge, "too_large"), (b"", "bad_payload"), (jpeg[:20], "bad_payload")):
        (answer,) = protocol.receive(packet(payload, at_s=9.0, track="cam"))
        assert answer.code == code


def test_a_caption_is_a_chunk_of_its_track():
    protocol = IngestProtocol()
    (answer,) = protocol.receive(start(MIC | {"captions": True}))
    assert answer == Started((Track("mic", "alice", captioned=True),))
    list(protocol.receive(frame(at_s=10.0)))
    (chunk,) = protocol.receive(caption())
    assert chunk.captions == (Caption(1.0, 2.0, "Hello."),)
    assert (chunk.start_s, len(chunk.pcm)) == (pytest.approx(10.02), 0)


def test_a_gap_is_kept_and_an_overlap_is_discarded():
    protocol = started()
    first = list(protocol.receive(frame(np.arange(8_000), at_s=0.0)))
    repeated = list(protocol.receive(frame(np.arange(4_000, 12_000), at_s=0.25)))
    later = list(protocol.receive(frame([7], at_s=5.0)))
    assert np.array_equal(joined(first + repeated) * 32_768, np.arange(12_000))
    assert (later[0].start_s, repeated[0].start_s) == (5.0, 0.5)
    assert (protocol.gaps, protocol.missing_s) == (1, pytest.approx(4.25))


def test_the_resampler_is_flushed_before_a_gap_and_at_the_end():
    protocol = IngestProtocol()
    list(protocol.receive(start(MIC | {"sample_rate": 48_000})))
    before = list(protocol.receive(frame([1] * 4_800, at_s=0.0)))
    after = list(protocol.receive(frame([1] * 4_800, at_s=9.0)))
    tail = list(protocol.close())
    assert len(joined(before)) < 1_600
    assert len(joined([c for c in before + after if c.start_s < 1])) == 1_600
    assert len(joined([c for c in after + tail if c.start_s >= 9])) == 1_600


BAD = [
    ("{", "bad_json"),
    ("[" * 50_000, "bad_json"),
    ('"session.end"', "bad_json"),
    ('{"type": "hello"}', "unknown_message"),
    (caption(track="mike"), "unknown_track"),
    (caption(start_s=3.0), "bad_media_time"),
    (caption(end_s=math.nan), "bad_json"),
    (caption(confidence=math.nan), "bad_json"),
    (caption().replace("2.0", "1e999"), "bad_json"),
    (caption(confidence=1.5), "bad_caption"),
    (json.dumps({"type": "caption", "more": [[{"deep": -math.inf}]]}), "bad_json"),
    (json.dumps({"type": "caption", "more": 10**300}), "bad_json"),
    (caption().replace("Hello", "\\ud800"), "bad_json"),  # half of a character
    (caption(text=None), "bad_caption"),
    (caption(text="x" * 3_000), "bad_caption"),
    ("{}", "unknown_message"),
    (start(MIC), "already_started"),
    (b"", "truncated_frame"),
    (b"\x01\x03mic" + bytes(7), "truncated_frame"),
    (frame(at_s=10.0)[:-1], "truncated_frame"),
    (frame(version=2), "bad_version"),
    (frame(track="mike"), "unknown_track"),
    (b"\x01\x01\xff" + bytes(8), "unknown_track"),
    (frame(at_s=math.nan), "bad_media_time"),
    (frame(at_s=math.inf), "bad_media_time"),
    (frame(at_s=-0.5), "bad_media_time"),
    (frame(at_s=1.7e9), "bad_media_time"),
    (frame(at_s=5.0), "bad_media_time"),  # after 10 s were heard
    (frame([0] * 2_000), "too_large"),
    ("ä" * 2_000, "too_large"),
]


@pytest.mark.parametrize(("message", "code"), BAD)
def test_a_bad_message_is_answered_and_ignored(message, code):
    protocol = started(max_message_bytes=3_000 if code == "too_large" else 100_000)
    list(protocol.receive(frame(at_s=10.0)))
    (answer,) = protocol.receive(message)
    assert (answer.code, answer.fatal) == (code, False)
    assert answer.message.endswith(".")
    (chunk,) = protocol.receive(frame([1] * 320, at_s=10.02))
    assert chunk.start_s == pytest.approx(10.02)


def test_a_track_cannot_send_more_captions_than_people_speak():
    protocol = started()

    def accepted(text, most=2_000):
        answers = [answer for _ in range(most) for answer in protocol.receive(caption(text=text))]
        assert {answer.code for answer in answers if isinstance(answer, Error)} == {"too_many_captions"}
        return sum(isinstance(answer, AudioChunk) for answer in answers)

    assert accepted("Yes.") == 256
    list(protocol.receive(frame([0] * 160_000)))
    assert accepted("No.") == 100  # 10 s of audio have come
    protocol = started()
    assert accepted("ä" * 2_000, most=100) == 16  # 64 KB
    assert list(protocol.receive(frame()))


BAD_STARTS = [
    ([MIC | {"sample_rate": 7_999}], "bad_sample_rate"),
    ([MIC | {"sample_rate": 96_000}], "bad_sample_rate"),
    ([MIC | {"codec": "mp3"}], "unsupported_codec"),
    ([MIC | {"codec": "opus"}], "bad_sample_rate"),  # its clock is 48 kHz
    ([MIC | {"kind": "video"}], "unsupported_codec"),
    ([MIC | {"kind": "smell"}], "unsupported_kind"),
    ([MIC | {"channels": 2}], "unsupported_channels"),
    ([MIC | {"channels": 0}], "unsupported_channels"),
    ([CAMERA], "no_audio"),
    ([MIC, CAMERA, CAMERA | {"id": "cam2"}], "duplicate_speaker"),
    ([MIC | {"speaker": "a/b"}], "bad_name"),
    ([MIC | {"id": ""}], "bad_name"),
    ([MIC, MIC | {"speaker": "bob"}], "duplicate_track"),
    ([MIC, MIC | {"id": "mic2"}], "duplicate_speaker"),
    ([MIC | {"id": str(i), "speaker": str(i)} for i in range(9)], "too_many_tracks"),
    ([None] * 9, "too_many_tracks"),  # counted before they are validated
    ([], "bad_session_start"),
    ([{"id": "mic"}], "bad_session_start"),
    ("mic", "bad_session_start"),
    (None, "bad_session_start"),
]


@pytest.mark.parametrize(("tracks", "code"), BAD_STARTS)
def test_after_a_bad_session_start_a_good_one_is_accepted_on_the_same_socket(tracks, code):
    protocol = IngestProtocol()
    (answer,) = protocol.receive(json.dumps({"type": "session.start", "tracks": tracks}))
    assert (answer.code, answer.fatal) == (code, False)
    (not_yet,) = protocol.receive(frame())
    assert not_yet.code == "not_started"
    assert isinstance(next(protocol.receive(start(MIC))), Started)


def test_after_its_end_a_session_accepts_nothing():
    protocol = started()
    list(protocol.receive('{"type": "session.end"}'))
    answers = [answer for message in (frame(), '{"type": "session.end"}') for answer in protocol.receive(message)]
    assert [answer.code for answer in answers] == ["already_ended", "already_ended"]


FIELDS = st.sampled_from(["type", "track", "start_s", "end_s", "text", "language", "confidence", "tracks", "id"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["caption", "mic"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=5,
)
CONTROL = st.builds(
    lambda kind, fields: json.dumps({"type": kind, "track": "mic"} | fields),
    st.sampled_from(["caption", "session.start"]),
    st.dictionaries(FIELDS, VALUES, max_size=6),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(st.text(), CONTROL, st.binary(), st.builds(frame, at_s=st.floats())), max_size=5))
def test_no_message_raises(messages):
    protocol = started()
    for message in messages:
        for answer in protocol.receive(message):
            assert isinstance(answer, AudioChunk | Error)
