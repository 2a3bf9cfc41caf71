"""Which settings belong together in the help of a command."""

import click

from engine.config import Settings

# By the beginning of their names; the first group that fits has them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Speech and models": (
        *("whisper_", "hub_", "checkpoint", "text_encoder", "face_detector", "device", "model_timeout", "transcribe_"),
        *("max_hung", "inference", "because"),
    ),
    "Turns": ("end_silence", "provisional", "interim", "min_speech", "max_turn", "pre_roll"),
    "Speakers": ("diarize", "speaker_model", "max_speakers"),
    "Event log": ("event_log", "keep_text"),
    "Log lines": ("log_",),
    "Address and access": ("host", "port", "insecure", "tls_", "no_auth", "keys", "allow_", "trusted_"),
    "Shared store": ("conversation_store", "store_"),
    "Conversations": ("max_sessions", "max_publishers", "rejoin_", "replay_", "subscriber_", "stats_"),
    "Limits per client": (
        *("max_", "new_", "media_mb", "captions_", "pictures_", "video_", "request_", "first_", "idle_"),
    ),
    "WebRTC": ("ice_", "media_timeout"),
    "Privacy": ("disclosure_", "socket_text", "require_consent"),
    "MQTT": ("mqtt", "home_assistant"),
    "Webhooks": ("webhook",),
    "Changes of emotion, for MQTT and webhooks": ("change_",),
    "Recording": ("record",),
}


def group_of(name: str) -> str | None:
    """The group of a setting; None for another option."""
    if name not in Settings.model_fields:
        return None
    return next(title for title, beginnings in GROUPS.items() if name.startswith(beginnings))


def settings_of(*titles: str) -> tuple[str, ...]:
    """The settings of these groups."""
    return tuple(name for name in Settings.model_fields if group_of(name) in titles)


class SettingsCommand(click.Command):
    """Its help has the command's own options first, and then the settings by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str | None, list[tuple[str, str]]] = {None: []} | {title: [] for title in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and not isinstance(parameter, click.Argument):  # the usage has those
                rows[group_of(parameter.name or "")].append(record)
        for title, records in rows.items():
            if records:
                with formatter.section(title or "Options"):
                    formatter.write_dl(records)
