"""Validates the tracks of a `session.start` message."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from engine.events import Error
from engine.ingest.codecs import AUDIO_CODECS, OPUS_RATE
from engine.media import Analyse
from engine.names import name_problem

MIN_RATE, MAX_RATE = 8_000, 48_000


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """A track as a publisher describes it. A video track has no sample rate and no channels."""

    id: str
    speaker: str
    kind: str
    codec: str
    sample_rate: int = 0
    channels: int = 0
    captions: bool = False  # the speaker's words are sent as `caption` messages
    analyse: Analyse = "all"
    consent: bool = False  # the speaker was informed and agrees


def read_specs(tracks: object, max_tracks: int, *, require_consent: bool = False) -> list[TrackSpec] | Error:
    """The parsed value of `tracks`, or what is wrong with it."""
    if isinstance(tracks, list) and len(tracks) > max_tracks:  # validation of a long list takes seconds
        return Error("too_many_tracks", f"A session may have {max_tracks} tracks, not {len(tracks)}.")
    try:
        specs = _SPECS.validate_python(tracks, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["tracks", *map(str, first["loc"])])
        return Error("bad_session_start", f"session.start: {where}: {first['msg']}.")
    if not specs:
        return Error("bad_session_start", "session.start names no track: give at least one.")
    if require_consent and (missing := [spec.id for spec in specs if spec.analyse != "none" and not spec.consent]):
        names = ", ".join(missing)[:200]
        advice = 'ask its speaker and send "consent": true, or "analyse": "none"'
        return Error("consent_required", f"This engine needs consent for each track, and {names!r} has none: {advice}.")
    return next(_problems(specs), None) or specs


_SPECS = TypeAdapter(list[TrackSpec])


def _problems(specs: list[TrackSpec]) -> Iterator[Error]:
    yield from _names("track", [spec.id for spec in specs])
    speakers = [spec.speaker for spec in specs if spec.kind == "audio"]
    filmed = [spec.speaker for spec in specs if spec.kind == "video"]
    yield from _names("speaker", speakers)
    yield from _names("speaker", filmed)
    for spec in specs:
        yield from _form(spec)
    for speaker in filmed:
        if speaker not in speakers:
            yield Error("no_audio", f"{speaker!r} has a video track, but no audio track: turns are found in audio.")


def _names(what: str, names: list[str]) -> Iterator[Error]:
    for name in names:
        if problem := name_problem(f"A {what}'s name", name):
            yield Error("bad_name", problem)
        if names.count(name) > 1:
            yield Error(f"duplicate_{what}", f"The {what} {name!r} is named twice: each track needs its own.")


def _form(spec: TrackSpec) -> Iterator[Error]:
    name = f"Track {spec.id!r}"
    codecs = {"audio": AUDIO_CODECS, "video": ("jpeg",)}.get(spec.kind)
    if codecs is None:
        yield Error("unsupported_kind", f"{name}: the kind is 'audio' or 'video', not {spec.kind[:40]!r}.")
        return
    if spec.codec not in codecs:
        taken = ", ".join(codecs)
        yield Error("unsupported_codec", f"{name}: the codecs for {spec.kind} are {taken}, not {spec.codec[:40]!r}.")
    if spec.kind == "video":
        return
    if spec.codec == "opus" and spec.sample_rate != OPUS_RATE:
        yield Error("bad_sample_rate", f"{name}: the sample rate of Opus is {OPUS_RATE} Hz, not {spec.sample_rate}.")
    if not MIN_RATE <= spec.sample_rate <= MAX_RATE:
        limits = f"{MIN_RATE} to {MAX_RATE} Hz"
        yield Error("bad_sample_rate", f"{name}: sample_rate is {limits}, not {spec.sample_rate}.")
    if spec.channels != 1:
        yield Error("unsupported_channels", f"{name}: only mono is accepted: send one track per speaker.")
