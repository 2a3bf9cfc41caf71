"""Settings of the engine: flags over environment (`CBERL_…`) over a TOML file over these defaults."""

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

from engine.errors import EngineError

PREFIX = "CBERL_"
DEFAULT_FILE = "cberl.toml"
LEVEL = r"^[^/+#$\s\x00-\x1f][^/+#\x00-\x1f]*$"  # one level of an MQTT topic
LEVEL_OR_NONE = r"^([^/+#$\s\x00-\x1f][^/+#\x00-\x1f]*)?$"
NOT_OURS = {"CBERL_SHARED"}  # where the tests find their data


class SettingsError(EngineError):
    """What is wrong with the settings: one sentence a problem, one problem a line."""


class Settings(BaseSettings):
    """Build with `load_settings`: its errors are sentences."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8765, ge=0, le=65_535, description="Port for pages and sockets; 0 takes a free one.")
    insecure: bool = Field(False, description="Allow a host that other machines can reach.")
    allow_origin: str = Field("", description="One other web origin whose pages may connect; * for all.")

    whisper_model: str = Field("", description="Whisper folder, size or hub id; empty: one that suits the machine.")
    hub_timeout_s: float = Field(3.0, ge=0, le=600, description="Longest wait for the model hub to answer.")
    checkpoint: str = Field("", description="CBERL checkpoint to run; empty: the starter that comes along.")
    text_encoder: str = Field("", description="Text encoder the checkpoint is for; empty: the one that comes along.")
    face_detector: str = Field("", description="Face detector (YuNet's ONNX file); empty: the bundled cascade.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the models run.")

    end_silence_ms: int = Field(500, ge=100, le=10_000, description="Silence that ends a turn.")
    end_silence_min_ms: int = Field(300, ge=100, le=10_000, description="The same after a finished sentence.")
    end_silence_max_ms: int = Field(1000, ge=100, le=10_000, description="The same after an unfinished sentence.")
    provisional_ms: int = Field(160, ge=0, le=10_000, description="Silence that begins work on a turn; 0: its end.")
    interim_ms: int = Field(1000, ge=0, le=60_000, description="Between interim events of a turn; 0: none.")
    min_speech_ms: int = Field(250, ge=0, le=5_000, description="Speech shorter than this is no turn.")
    max_turn_s: float = Field(15.0, ge=3, le=300, description="A longer turn is cut and goes on in the next.")
    pre_roll_ms: int = Field(200, ge=0, le=2_000, description="Audio kept from before speech was noticed.")

    diarize: Literal["auto", "on", "off"] = Field(
        "auto", description="Tell apart the voices on a track; auto: of a mono recording whose speaker is not named."
    )
    speaker_model: str = Field("", description="Speaker encoder (a GE2E .pt file); empty: that of resemblyzer.")

    max_sessions: int = Field(16, ge=1, le=10_000, description="Most conversations at a time.")
    max_message_bytes: int = Field(1 << 20, ge=1024, le=1 << 26, description="Largest message taken.")
    max_tracks: int = Field(8, ge=1, le=255, description="Most tracks a publisher may have.")
    stats_s: float = Field(5.0, gt=0, le=3600, description="Between session.stats events.")
    max_publishers: int = Field(16, ge=1, le=1000, description="Most publishers in a conversation.")
    ice_servers: str = Field("", description="For WebRTC: stun:host:port turn:user:password@host:port ...")
    video_fps: float = Field(3.0, gt=0, le=30, description="Pictures looked at, a second and speaker.")
    media_timeout_s: float = Field(15.0, ge=1, le=3600, description="A WebRTC peer silent for so long is gone.")
    replay_events: int = Field(1000, ge=0, le=1_000_000, description="Events a conversation keeps for replay.")
    subscriber_queue: int = Field(256, ge=4, le=100_000, description="Events that wait for a subscriber.")
    rejoin_grace_s: float = Field(30.0, ge=0, le=86_400, description="How long a conversation waits for publishers.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line shown.")

    event_log: str = Field("", description="SQLite file that keeps all events; empty: nothing is kept.")
    keep_text: bool = Field(False, description="Keep in the event log what was said, too.")
    event_log_days: float = Field(30.0, gt=0, le=36_500, description="Older events are deleted.")
    event_log_mb: int = Field(1024, ge=1, le=1 << 20, description="The oldest events of a larger log are deleted.")

    mqtt: str = Field("", description="MQTT v5 brokers, comma-separated: mqtt://user:password@host or mqtts://host.")
    mqtt_prefix: str = Field("cberl", pattern=LEVEL, description="First level of every topic.")
    mqtt_node: str = Field("engine", pattern=LEVEL, description="This engine's name in topics; one engine each.")
    mqtt_client_id: str = Field("", max_length=128, description="MQTT client id; empty: prefix and node.")
    mqtt_keepalive_s: int = Field(30, ge=1, le=65_535, description="Longest silence on the line to a broker.")
    mqtt_ca: str = Field("", description="PEM file of the authorities trusted for mqtts; empty: the system's.")
    mqtt_cert: str = Field("", description="PEM file of the engine's own certificate for mqtts.")
    mqtt_key: str = Field("", description="PEM file of that certificate's key.")
    mqtt_text: bool = Field(False, description="Send brokers what was said, too.")
    mqtt_expiry_s: int = Field(86_400, ge=1, le=31_536_000, description="An older event is of no use to a broker.")
    mqtt_state_expiry_s: int = Field(600, ge=1, le=31_536_000, description="How long a person's state holds.")
    mqtt_outbox_events: int = Field(100_000, ge=1, le=10_000_000, description="Most events that wait for brokers.")
    mqtt_control_token: str = Field("", description="Token that commands over MQTT carry; empty: none are taken.")
    home_assistant: str = Field(
        "", pattern=LEVEL_OR_NONE, description="Home Assistant's discovery prefix; empty: none."
    )
    change_confidence: float = Field(0.6, ge=0, le=1, description="A new emotion this sure is a change at once.")
    change_turns: int = Field(2, ge=1, le=100, description="Less sure, it is one after so many turns in a row.")
    change_interval_s: float = Field(5.0, ge=0, le=86_400, description="A person changes at most once in this time.")

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
    def _loopback_or_said_so(self) -> Self:
        if not (self.insecure or _is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} can be reached from other machines and this version has no tokens: "
                "anybody there could listen in; put it behind a proxy that asks who they are, or say --insecure"
            )
        return self

    def to_toml(self) -> str:
        """A file that `load_settings` reads back to these settings."""
        return "".join(
            f"# {field.description}\n{name} = {_toml_value(getattr(self, name))}\n"
            for name, field in type(self).model_fields.items()
        )


def load_settings(flags: Mapping[str, Any] | None = None, config_file: Path | None = None) -> Settings:
    """Settings from all sources. A flag that is None was not given.

    `config_file` must exist; without it `cberl.toml` in the working directory is read where there is one.
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
        if key not in Settings.model_fields and name not in NOT_OURS
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
    """One of pydantic's errors as a sentence that begins with where the value came from."""
    if problem["type"] == "value_error":  # our own, across keys
        return f"{problem['ctx']['error']}."
    key = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return _unknown("setting", key, key)
    reason = problem["msg"].removeprefix("Input ")
    return f"{sources.get(key, key)} {reason}, not {problem['input']!r}."


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _toml_value(value: bool | float | str) -> str:
    # JSON's scalars are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
