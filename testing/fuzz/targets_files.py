"""Files that the engine reads at start or after a restart: settings, checkpoints, saved states, the event log."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cberl.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from cberl.config import ModelConfig
from cberl.encoders.bundle import encoder_configs
from cberl.encoders.conversation import HistoryState
from cberl.encoders.normalize import RunningNormalizer
from cberl.live_checkpoint import LiveCheckpoint
from cberl.model import CBERL
from cberl.step.state import ConversationState, StepInput, initial_state
from cberl.streaming import TorchStep
from engine.config import Settings, SettingsError, load_settings
from engine.conversation.classifier import EmotionClassifier, GraphResult
from engine.conversation.saved_state import SavedState, pack, unpack
from engine.events import Shift
from engine.mqtt.topics import Messages, Topics
from engine.store.conversation_states import ConversationStates, StateRow
from engine.store.database import StoreError, open_database
from engine.store.event_log import EventLog, EventRow
from engine.store.outbox import Outbox, OutboxRow
from testing.fuzz.runner import Inputs, target
from testing.toys import CONFIG

AUDIO = {"prior_mean": [0.0] * 8, "prior_sd": [1.0] * 8}


@target(3)
def settings_files(folder: Path) -> Iterator[Inputs]:
    path = folder / "cberl.toml"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        settings = load_settings(config_file=path)
        path.write_text(settings.to_toml(), encoding="utf-8")
        assert load_settings(config_file=path).model_dump() == settings.model_dump()

    whole = Settings().to_toml().encode()
    short = b'port = 8000\nhost = "::1"\nvideo_fps = 2.5\nmqtt = "mqtt://a"\nice_servers = "stun:a"\ninsecure = true\n'
    names = [name.encode() + b" = " for name in Settings.model_fields]
    yield Inputs([short, short, whole], parse, (SettingsError,), [*names, b"'''", b"[[a]]", b"1979-05-27", b"nan"])


def _checkpoint(folder: Path) -> Checkpoint:
    torch.manual_seed(0)
    made = Checkpoint("toy", CBERL(CONFIG), CBERL(CONFIG).calibration, {"text": {"sha256": "a"}, "audio": AUDIO})
    made.save(folder)
    return made


@target(2)
def checkpoint_configs(folder: Path) -> Iterator[Inputs]:
    _checkpoint(folder)
    path = folder / "config.json"

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        checkpoint = load_checkpoint(folder)
        encoder_configs(checkpoint.name, checkpoint.encoders)

    fields = [json.dumps(name).encode() for name in ModelConfig.__dataclass_fields__]
    yield Inputs([path.read_bytes()], parse, (CheckpointError,), fields)


@target(1)
def checkpoint_weights(folder: Path) -> Iterator[Inputs]:
    """Without the digest, as in files of earlier versions."""
    _checkpoint(folder)
    config, weights = folder / "config.json", folder / "model.safetensors"
    body = json.loads(config.read_text())
    del body["weights_sha256"]
    config.write_text(json.dumps(body))

    def parse(data: bytes) -> None:
        weights.write_bytes(data)
        load_checkpoint(folder)

    seed = weights.read_bytes()
    tokens = [b'"F32"', b'"I64"', b'"BOOL"', b'"dtype"', b'"shape"', b'"data_offsets"', b"__metadata__"]
    yield Inputs([seed], parse, (CheckpointError,), tokens)


@target(10)
def saved_states(folder: Path) -> Iterator[Inputs]:
    """A state that is accepted can be continued, and is saved again."""
    torch.manual_seed(0)
    network = CBERL(CONFIG).eval()
    checkpoint = LiveCheckpoint("toy", TorchStep(network), network.calibration, {"audio": AUDIO})
    start, random = initial_state(CONFIG), np.random.default_rng(0)
    layers = random.normal(size=start.layers.shape).astype(np.float32)
    audio = {name: np.ones((3, 8)) for name in ("a", "b")}
    history = HistoryState((("a", "Hello."), ("b", "You.")), audio)
    graph = ConversationState(start.hidden + 0.5, layers, ("a", "b", "a"))
    state = SavedState(graph, history, {"a": "joy"}, {"a": Shift("neutral", 2)}, {"b": "Bo"}, 4, ("demo/a/3",))

    def parse(data: bytes) -> None:
        found = unpack(data, checkpoint)
        if found is None:
            return
        try:  # as a conversation does
            EmotionClassifier("demo", checkpoint, never).restore(found.graph, found.utterances)
            RunningNormalizer(AUDIO["prior_mean"], AUDIO["prior_sd"], 1.0).restore(found.history.audio)
        except ValueError:
            return
        logits, _ = checkpoint.network.step([found.graph], [StepInput("a", {"text": np.zeros(6, np.float32)})])
        assert np.isfinite(logits).all()
        assert pack(found, checkpoint, with_text=True)

    async def never(request: object) -> GraphResult:
        raise AssertionError("no step is asked for")

    seeds = [pack(state, checkpoint, with_text=True), pack(replace(state, graph=start), checkpoint, with_text=False)]
    tokens = [b'"F32"', b'"U8"', b'"F64"', b'"shape":[', b'"data_offsets":[', b'"window"', b"NaN", b"layers", b"null"]
    yield Inputs(seeds, parse, tokens=tokens)


@target(5)
def event_logs(folder: Path) -> Iterator[Inputs]:
    """A damaged SQLite file: refused when it is opened, or errors of SQLite, which their readers handle."""
    path = folder / "events.db"

    def read(path: Path) -> None:
        database = open_database(str(path))
        try:
            log, states = EventLog(database), ConversationStates(database)
            log.numbers()
            log.numbering()
            states.load()
            states.alive_s()
            for it in log.conversations(10):
                log.events(it.id, 0, 10)
                log.speakers(it.id)
            Outbox(database, ["a:1"], 100).next("a:1", 0, 10)
        finally:
            database.close()

    def parse(data: bytes) -> None:
        for part in folder.iterdir():
            part.unlink()
        path.write_bytes(data)
        read(path)

    database = open_database(str(path))
    EventLog(database).reserve({"demo": 100})
    EventLog(database).add([EventRow("demo", seq, 1.0, "alice", "{}") for seq in range(1, 4)])
    ConversationStates(database).put([StateRow("demo", 1.0, b"abc")])
    Outbox(database, ["a:1"], 100).add([OutboxRow(0, 1.0, "current", "demo/1", "demo", "alice", "{}")])
    database.execute("UPDATE numbering SET id = 'a'")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    yield Inputs([path.read_bytes()], parse, (StoreError, sqlite3.Error), [b"SQLite format 3\x00", b"CREATE TABLE"])


@target(30)
def outbox_rows(folder: Path) -> Iterator[Inputs]:
    """The JSON of a row of the outbox, which a broker is sent with more fields."""
    messages = Messages(Topics("cberl", "engine"), 1e9, 1e9)

    def parse(data: bytes) -> None:
        row = OutboxRow(1, 1.0, "past", "demo/1", "demo", "alice", data.decode(errors="replace"))
        messages.event(row, 5.0, historical=True)

    yield Inputs([b'{"type": "emotion", "seq": 1, "text": null}'], parse)
