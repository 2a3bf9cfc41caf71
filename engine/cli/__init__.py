"""The `cberl` command: one module per command."""

from engine.cli.app import main

__all__ = ["main"]
