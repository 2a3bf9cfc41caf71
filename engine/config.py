"""Settings of the engine: flags, over environment variables (`CBERL_…`), over a TOML file, over these defaults."""

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from cberl.recent import MAX_SPEAKERS
from engine.disclosure import TEXTS, bundled_text
from engine.errors import EngineError

PREFIX = "CBERL_"
DEFAULT_FILE = "cberl.toml"
LEVEL = r"^[^/+#$\s\x00-\x1f][^/+#\x00-\x1f]*$"  # one level of an MQTT topic
LEVEL_OR_NONE = r"^([^/+#$\s\x00-\x1f][^/+#\x00-\x1f]*)?$"
LOCALE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"  # BCP 47
# What the course of a conversation depends on, beside its media.
OF_CONVERSATIONS = (
    *("whisper_model", "checkpoint", "text_encoder", "face_detector", "device", "diarize", "speaker_model"),
    *("end_silence_ms", "end_silence_min_ms", "end_silence_max_ms", "provisional_ms", "interim_ms", "because"),
    *("min_speech_ms", "max_turn_s", "pre_roll_ms", "max_publishers", "max_speakers", "stats_s", "rejoin_grace_s"),
)
SECRETS = ("mqtt_control_token", "webhook_secret")  # never a flag, which other users can list, and never printed
NOT_SETTINGS = {"CBERL_SHARED", "CBERL_TOKEN"}  # data for the tests; the token of clients


class SettingsError(EngineError):
    """What is wrong with the settings: one sentence and one line per problem."""


class Settings(BaseSettings):
    """Build with `load_settings`, which raises readable errors."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8765, ge=0, le=65_535, description="Port for pages and sockets; 0 takes a free one.")
    insecure: bool = Field(False, description="Allow a host that other machines can reach without TLS.")
    tls_cert: str = Field("", description="PEM file of the engine's certificate for https; loaded again on change.")
    tls_key: str = Field("", description="PEM file of that certificate's key.")
    no_auth: bool = Field(False, description="Ask nobody for a token: whoever reaches the engine may do everything.")
    keys: str = Field("", description="File with the keys of tokens; empty: cberl/keys.json in the user's state.")
    allow_origin: str = Field("", description="One other web origin whose pages may connect; * for all.")
    allow_hosts: str = Field("", description="More names of this engine's host in requests, comma-separated.")
    trusted_proxy: str = Field("", description="Addresses of proxies whose X-Forwarded headers count, comma-separated.")

    max_connections: int = Field(1000, ge=1, le=60_000, description="Maximum number of connections.")
    max_connections_per_client: int = Field(
        100, ge=1, le=60_000, description="The same for one client: an address, or a token."
    )
    max_sessions_per_client: int = Field(
        0, ge=0, le=10_000, description="Conversations one client may open; 0: as many as are free for others."
    )
    new_sockets_per_s: float = Field(
        10.0, gt=0, le=10_000, description="New WebSockets per second and client; an offer of WebRTC counts as 5."
    )
    media_mb_per_s: float = Field(
        2.0, gt=0, le=10_000, description="Megabytes per second read from one client, for each of max_sessions."
    )
    captions_per_s: float = Field(
        10.0, gt=0, le=10_000, description="Text messages, such as captions, read in the same way."
    )
    pictures_per_s: float = Field(
        10.0, gt=0, le=10_000, description="JPEG pictures of one client decoded per second, for each of max_sessions."
    )
    video_cores: float = Field(
        0.0, ge=0, le=1000, description="Processors that may decode pictures of one client; 0: an eighth of all."
    )
    request_timeout_s: float = Field(
        10.0, ge=0.1, le=600, description="Longest time for the header of a request, and for its body."
    )
    first_media_s: float = Field(10.0, ge=0.1, le=600, description="Longest time until a WebSocket's first media.")
    idle_media_s: float = Field(600.0, ge=1, le=86_400, description="A WebSocket without media for longer is closed.")

    whisper_model: str = Field("", description="Whisper folder, size or hub id; empty: one that suits the machine.")
    hub_timeout_s: float = Field(3.0, ge=0, le=600, description="Longest wait for the model hub to answer.")
    checkpoint: str = Field("", description="CBERL checkpoint to run; empty: the bundled starter.")
    text_encoder: str = Field("", description="Text encoder of the checkpoint; empty: the bundled one.")
    face_detector: str = Field("", description="Face detector (YuNet's ONNX file); empty: the bundled cascade.")
    because: bool = Field(False, description="Add to finals which earlier turns, and which modalities, moved them.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the models run.")
    model_timeout_s: float = Field(20.0, ge=0.1, le=3600, description="Longest time of one call of a model.")
    transcribe_timeout_s: float = Field(60.0, ge=0.1, le=3600, description="The same of speech to text.")
    max_hung_calls: int = Field(
        4, ge=1, le=1000, description="The engine ends with status 70 when as many calls hang at the same time."
    )

    inference: str = Field("", description="ray://HOST:PORT of `cberl cluster up`: run the models there.")

    end_silence_ms: int = Field(500, ge=100, le=10_000, description="Silence that ends a turn.")
    end_silence_min_ms: int = Field(400, ge=100, le=10_000, description="The same after a finished sentence.")
    end_silence_max_ms: int = Field(1000, ge=100, le=10_000, description="The same after an unfinished sentence.")
    provisional_ms: int = Field(
        128, ge=0, le=10_000, description="Silence before provisional analysis; 0: end_silence_ms."
    )
    interim_ms: int = Field(1000, ge=0, le=60_000, description="Interval of interim events in a turn; 0: none.")
    min_speech_ms: int = Field(250, ge=0, le=5_000, description="Shorter speech is not a turn.")
    max_turn_s: float = Field(15.0, ge=3, le=300, description="A longer turn is split in two.")
    pre_roll_ms: int = Field(200, ge=0, le=2_000, description="Audio kept from before the detected start of speech.")

    diarize: Literal["auto", "on", "off"] = Field(
        "auto", description="Distinguish the speakers on a track; auto: on a mono recording without a named speaker."
    )
    speaker_model: str = Field("", description="Speaker encoder (a GE2E .pt file); empty: that of resemblyzer.")

    max_sessions: int = Field(16, ge=1, le=10_000, description="Maximum number of conversations at the same time.")
    max_message_bytes: int = Field(1 << 20, ge=1024, le=1 << 26, description="Maximum size of a message.")
    max_tracks: int = Field(8, ge=1, le=255, description="Maximum number of tracks per publisher.")
    stats_s: float = Field(5.0, gt=0, le=3600, description="Interval of session.stats events.")
    max_publishers: int = Field(16, ge=1, le=1000, description="Maximum number of publishers per conversation.")
    max_speakers: int = Field(
        MAX_SPEAKERS, ge=1, le=MAX_SPEAKERS, description="Maximum number of speakers present in a conversation."
    )
    disclosure_locale: str = Field("en", pattern=LOCALE, description="Language of the disclosure, such as de or de-AT.")
    disclosure_text: str = Field(
        "", max_length=500, description="Text of the disclosure; empty: a bundled one (de, en, es, fr)."
    )
    socket_text: bool = Field(True, description="Send the words on sockets, too.")
    require_consent: bool = Field(False, description="Refuse tracks for which no consent is given.")
    ice_servers: str = Field("", description="For WebRTC: stun:host:port turn:user:password@host:port ...")
    video_fps: float = Field(3.0, gt=0, le=30, description="Video frames analysed per second and speaker.")
    media_timeout_s: float = Field(15.0, ge=1, le=3600, description="WebRTC peers without media are disconnected.")
    replay_events: int = Field(1000, ge=0, le=1_000_000, description="Events kept per conversation for replay.")
    subscriber_queue: int = Field(256, ge=4, le=100_000, description="Events queued per subscriber.")
    rejoin_grace_s: float = Field(
        30.0, ge=0, le=86_400, description="Time a conversation without publishers is kept, and a resumable session."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line shown.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines as text, or as JSON objects.")

    event_log: str = Field("", description="SQLite file for all events; empty: no event log.")
    keep_text: bool = Field(False, description="Keep the words in the event log, too.")
    event_log_days: float = Field(30.0, gt=0, le=36_500, description="Older events are deleted.")
    event_log_mb: int = Field(1024, ge=1, le=1 << 20, description="The oldest events of a larger log are deleted.")

    conversation_store: str = Field(
        "", description="redis://host: conversations continue on another engine; empty: on this one alone."
    )
    store_lease_s: float = Field(
        5.0, ge=0.5, le=300, description="An engine silent for longer may lose its conversations to another."
    )

    mqtt: str = Field("", description="MQTT v5 brokers, comma-separated: mqtt://user:password@host or mqtts://host.")
    mqtt_prefix: str = Field("cberl", pattern=LEVEL, description="First level of every topic.")
    mqtt_node: str = Field("engine", pattern=LEVEL, description="This engine's name in topics, unique per prefix.")
    mqtt_client_id: str = Field("", max_length=128, description="MQTT client id; empty: prefix and node.")
    mqtt_keepalive_s: int = Field(30, ge=1, le=65_535, description="Keep-alive interval of connections to brokers.")
    mqtt_ca: str = Field("", description="PEM file of the authorities trusted for mqtts; empty: the system's.")
    mqtt_cert: str = Field("", description="PEM file of the engine's own certificate for mqtts.")
    mqtt_key: str = Field("", description="PEM file of that certificate's key.")
    mqtt_text: bool = Field(False, description="Send the words to brokers, too.")
    mqtt_expiry_s: int = Field(86_400, ge=1, le=31_536_000, description="Expiry of events at brokers.")
    mqtt_state_expiry_s: int = Field(600, ge=1, le=31_536_000, description="Expiry of a speaker's state at brokers.")
    mqtt_outbox_events: int = Field(
        100_000, ge=1, le=10_000_000, description="Most events queued for brokers and webhooks."
    )
    mqtt_control_token: str = Field(
        "", repr=False, description="Token that commands over MQTT must have; empty: no commands."
    )
    home_assistant: str = Field("", pattern=LEVEL_OR_NONE, description="Home Assistant's discovery prefix; empty: off.")
    webhook: str = Field("", description="Addresses that events are sent to, comma-separated: https://host/path.")
    webhook_secret: str = Field("", repr=False, description="Signs what is sent to webhooks: whsec_ and base64.")
    webhook_events: str = Field("final,change,ended", description="Which events webhooks receive, comma-separated.")
    webhook_text: bool = Field(False, description="Send the words to webhooks, too.")
    webhook_give_up_s: int = Field(86_400, ge=1, le=31_536_000, description="A message this old is not sent any more.")
    change_confidence: float = Field(
        0.6, ge=0, le=1, description="Confidence that makes a new emotion a change at once."
    )
    change_turns: int = Field(2, ge=1, le=100, description="Turns in a row that make a less confident one a change.")
    change_interval_s: float = Field(5.0, ge=0, le=86_400, description="Least time between two changes of one speaker.")

    record: str = Field("", description="Folder in which all media is kept for `cberl replay`; empty: none is.")
    record_mb: int = Field(1024, ge=1, le=1 << 20, description="The oldest recordings of more are deleted.")
    record_days: float = Field(7.0, gt=0, le=36_500, description="Older recordings are deleted.")

    _file: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=dict(cls._file))

    @model_validator(mode="after")
    def _tls_beyond_loopback(self) -> Self:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key belong together")
        if not (self.tls_cert or self.insecure or is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} can be reached from other machines, and what is sent can be read on the way: "
                "give --tls-cert and --tls-key, use a proxy with TLS on this machine, or give --insecure"
            )
        return self

    @model_validator(mode="after")
    def _disclosure_has_a_text(self) -> Self:
        if not (self.disclosure_text or bundled_text(self.disclosure_locale)):
            raise ValueError(
                f"there is no bundled disclosure in {self.disclosure_locale}: give --disclosure-text, "
                f"or --disclosure-locale with one of {', '.join(TEXTS)}"
            )
        return self

    def to_toml(self) -> str:
        """The settings as a TOML file, from which `load_settings` loads the same settings, without `SECRETS`."""
        return "".join(
            f"# {field.description}\n{name} = {_toml_value(getattr(self, name))}\n"
            for name, field in type(self).model_fields.items()
            if name not in SECRETS
        )


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """Those with which a recorded conversation takes the same course again."""
    return {name: getattr(settings, name) for name in OF_CONVERSATIONS}


def load_settings(flags: Mapping[str, Any] | None = None, config_file: Path | None = None) -> Settings:
    """Settings from all sources. Flags that are None are ignored.

    `config_file` must exist. Without one, `cberl.toml` in the working directory is read if it exists.
    Raises SettingsError.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    path = config_file or Path(DEFAULT_FILE)
    in_file = _read(path) if config_file or path.exists() else {}
    ours = [name for name in os.environ if name.upper().startswith(PREFIX)]
    in_environment = {name: name[len(PREFIX) :].lower() for name in ours}
    problems = [_unknown(f"{path}: key", name, name) for name in in_file if name not in Settings.model_fields]
    problems += [
        _unknown("environment variable", name, key, PREFIX)
        for name, key in in_environment.items()
        if key not in Settings.model_fields and name not in NOT_SETTINGS
    ]
    if problems:
        raise SettingsError("\n".join(problems))
    with_file = type(Settings.__name__, (Settings,), {"_file": in_file, "__module__": __name__})
    try:
        settings: Settings = with_file(**given)
    except ValidationError as error:
        sources = (
            {name: f"{path}: {name}" for name in in_file}
            | {key: name for name, key in in_environment.items()}
            | {name: "--" + name.replace("_", "-") for name in given}
        )
        raise SettingsError("\n".join(_sentence(problem, sources) for problem in error.errors())) from error
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:  # bad TOML, or not UTF-8
        raise SettingsError(f"{path}: is not valid TOML: {error}.") from error


def _unknown(source: str, name: str, key: str, prefix: str = "") -> str:
    near = get_close_matches(key, Settings.model_fields, n=1)
    if not near:
        return f"{source} {name!r} is unknown; --print-config shows them all."
    return f"{source} {name!r} is unknown; did you mean {prefix + near[0].upper() if prefix else near[0]!r}?"


def _sentence(problem: Any, sources: Mapping[str, str]) -> str:
    """An error of pydantic as a sentence that begins with the source of the value."""
    if problem["type"] == "value_error":  # raised by a validator of Settings
        return f"{problem['ctx']['error']}."
    key = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return _unknown("setting", key, key)
    reason = problem["msg"].removeprefix("Input ")
    return f"{sources.get(key, key)} {reason}, not {problem['input']!r}."


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _toml_value(value: bool | float | str) -> str:
    # Scalars are written alike in JSON and TOML, except for DEL, which TOML requires to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
