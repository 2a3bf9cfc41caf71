"""`cberl doctor`"""

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click
import numpy as np
from rich.console import Console

from cberl.checkpoint_files import CheckpointError
from cberl.device import resolve_device
from cberl.types import SAMPLE_RATE
from engine.cli.common import settings_from, settings_options
from engine.cli.setting_groups import SettingsCommand
from engine.config import Settings
from engine.conversation.model_backend import load_configured
from engine.speech.choose import choose_transcriber
from engine.speech.speaker_embedding import SpeakerEncoderError, load_speaker_encoder
from engine.speech.transcriber import TranscriberError
from engine.speech.vad import SileroVad, VadError, VadRequest, VadState
from engine.speech.whisper import TURN_S
from engine.webhooks.endpoint import WebhookError, check_settings, parse_endpoints

PACKAGES = ("onnxruntime", "ctranslate2", "faster-whisper", "av", "uvicorn")
OPTIONAL = {"torch": "gpu", "torch-geometric": "gpu", "torchaudio": "train"}  # by the extra that brings it
State = Literal["ok", "note", "missing"]
_MARKS = {"ok": "[green]ok     [/]", "note": "[yellow]note   [/]", "missing": "[red]missing[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`note`: works with a restriction. `missing`: the engine cannot run."""

    what: str
    state: State
    detail: str


@click.command(
    "doctor",
    cls=SettingsCommand,
    epilog="""\b
Examples:
  cberl doctor
  cberl doctor --whisper-model large-v3-turbo
  cberl doctor --json""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a list.")
@settings_options()
def command(as_json: bool, **flags: Any) -> None:
    """What works on this machine with these settings, what is missing, how to get it. Exits 1 if it cannot run."""
    settings = settings_from(flags)
    findings = []
    for check in (_python, _packages, _device, _checkpoint, _vad, _asr, _voices, _webhooks):
        finding = check(settings)
        findings.append(finding)
        if not as_json:
            Console(highlight=False).print(f"{_MARKS[finding.state]} {finding.what:<14} {finding.detail}")
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    if any(finding.state == "missing" for finding in findings):
        sys.exit(1)


def _python(_: Settings) -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages(_: Settings) -> Finding:
    versions, absent = [], []
    for package in (*PACKAGES, *OPTIONAL):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            if package in PACKAGES:
                absent.append(package)
            else:
                versions.append(f"no {package} (pip install 'cberl-engine[{OPTIONAL[package]}]')")
    if absent:
        return Finding("packages", "missing", f"{', '.join(absent)}: pip install {' '.join(absent)}")
    return Finding("packages", "ok", ", ".join(versions))


def _device(settings: Settings) -> Finding:
    try:
        device = resolve_device(settings.device)
    except CheckpointError as error:
        return Finding("device", "missing", str(error))
    if device == "cuda":
        import torch

        return Finding("device", "ok", f"GPU {torch.cuda.get_device_name()}")
    return Finding("device", "ok", f"CPU, {os.cpu_count()} cores; no GPU is used")


def _checkpoint(settings: Settings) -> Finding:
    try:
        checkpoint, encoders = load_configured(settings)
    except CheckpointError as error:
        return Finding("checkpoint", "missing", str(error))
    reads = ", ".join(checkpoint.config.modality_dims)
    ms = _median_ms(lambda: encoders.text.encode([encoders.text.prompt.build((), "a", "how could you do that to me")]))
    return Finding("checkpoint", "ok", f"{checkpoint.name}, reads {reads}; encoding a turn's text takes {ms:.0f} ms")


def _vad(_: Settings) -> Finding:
    try:
        vad = SileroVad()
    except VadError as error:
        return Finding("turn detection", "missing", str(error))
    second = np.zeros((SAMPLE_RATE // 512, 512), np.float32)
    ms = _median_ms(lambda: vad.run([VadRequest(VadState(), second)]))
    return Finding("turn detection", "ok", f"Silero VAD, {ms / 10:.2f} % of a core per track")


def _asr(settings: Settings) -> Finding:
    try:
        transcriber, note = choose_transcriber(settings.whisper_model, settings.device, settings.hub_timeout_s)
    except TranscriberError as error:
        return Finding("speech to text", "missing", str(error))
    turn_s = transcriber.time_turn()
    return Finding("speech to text", "ok", f"{note} A turn of {TURN_S:g} s takes {turn_s * 1e3:.0f} ms.")


def _voices(settings: Settings) -> Finding:
    if settings.diarize == "off":
        return Finding("who speaks", "ok", "one per track or channel: diarize is off")
    try:
        load_speaker_encoder(settings.speaker_model)
    except SpeakerEncoderError as error:
        asked = settings.diarize == "on" or settings.speaker_model
        return Finding("who speaks", "missing" if asked else "note", f"one per track or channel; {error}")
    where = "on every track" if settings.diarize == "on" else "in mono recordings whose speaker is not named"
    return Finding("who speaks", "ok", f"speakers are distinguished {where}")


def _webhooks(settings: Settings) -> Finding:
    try:
        check_settings(settings)
    except WebhookError as error:
        return Finding("webhooks", "missing", str(error))
    names = ", ".join(it.name for it in parse_endpoints(settings.webhook))
    return Finding("webhooks", "ok", f"{names}, signed" if names else "none")


def _median_ms(call: Callable[[], object], times: int = 5) -> float:
    """Median of a few calls, after one to warm up."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
    return sorted(taken)[times // 2]
