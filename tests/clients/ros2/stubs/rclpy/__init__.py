"""As much of rclpy as the node uses. What is published is printed as JSON, what is logged goes to stderr."""

import json
import sys
import threading
from types import SimpleNamespace

from . import executors, node

__all__ = ["executors", "init", "node", "spin", "try_shutdown", "utilities"]
utilities = SimpleNamespace(
    remove_ros_args=lambda args: args[: args.index("--ros-args")] if "--ros-args" in args else list(args)
)


def init(*, args):
    json.dumps(args)


def spin(spun):
    assert isinstance(spun, node.Node)
    threading.Event().wait()


def try_shutdown():
    print("shut down", file=sys.stderr, flush=True)
