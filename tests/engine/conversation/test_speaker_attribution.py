from dataclasses import replace

import numpy as np

from engine.conversation.speaker_attribution import Attribution, Corrections, SpeakerAttribution
from engine.media import Track
from engine.speech.turn import Turn
from testing.counting import utterance

ANN, BOB, EVE = np.eye(3, dtype=np.float32)
ANGRY = np.array([0.59, np.sqrt(1 - 0.59**2), 0.0], np.float32)  # ann, hardly to be known again
MIDDLE = (ANN + ANGRY) / np.linalg.norm(ANN + ANGRY)


def turn(turn_id: int, track: Track | str = "room", seconds: float = 2.0) -> Turn:
    track = Track(track, track) if isinstance(track, str) else track
    return Turn(turn_id, track, 0.0, seconds, np.zeros(0, np.float32), decided_s=seconds)


def test_the_first_speaker_on_a_track_has_its_name_and_tracks_are_independent() -> None:
    attribution = SpeakerAttribution()
    said = [("room", ANN), ("room", BOB), ("hall", BOB), ("hall", ANN), ("room", EVE), ("room", BOB)]
    names = [attribution.push(turn(n, where), voice).speaker for n, (where, voice) in enumerate(said)]
    assert names == ["room", "room-2", "hall", "hall-2", "room-3", "room-2"]
    assert attribution.guess(turn(9), EVE) == "room-3"
    assert attribution.guess(turn(9, "yard"), EVE) == "yard"


def test_speakers_on_an_unnamed_track_are_numbered() -> None:
    attribution = SpeakerAttribution()
    track = Track("audio-1", "speaker-1", named=False, numbered_from="speaker")
    names = [attribution.push(turn(n, track), it).speaker for n, it in enumerate((ANN, BOB, EVE))]
    assert names == ["speaker-1", "speaker-2", "speaker-3"]


def test_a_merged_speaker_is_reported_and_its_turns_are_relabelled() -> None:
    attribution = SpeakerAttribution()
    for n, voice in enumerate((ANN, ANGRY), 1):
        attribution.push(turn(n), voice)
    assert attribution.push(turn(3, seconds=5.0), MIDDLE) == Attribution("room", {2: "room"}, frozenset({"room-2"}))


def test_a_corrected_event_is_the_same_utterance_in_a_new_revision() -> None:
    corrections = Corrections(memory_turns=2)
    told = {n: replace(utterance(speaker="room-2"), utterance=f"demo/room-2/{n}", lag_s=n) for n in (1, 2, 3)}
    for n, event in told.items():
        corrections.remember(n, event)
    again = replace(told[2], utterance="demo/room/2", speaker="room", emotion="anger", lag_s=0.0)
    assert corrections.correct(1, again) is None  # too long ago
    once, twice = corrections.correct(2, again), corrections.correct(2, again)
    assert once == replace(told[2], speaker="room", emotion="anger", status="corrected", revision=1)
    assert twice == replace(told[2], speaker="room", emotion="anger", status="corrected", revision=2)
