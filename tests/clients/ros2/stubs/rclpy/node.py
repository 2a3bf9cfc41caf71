import json
import re
import sys
from types import SimpleNamespace

VALID = re.compile(r"/?([A-Za-z_][A-Za-z0-9_]*)(/[A-Za-z_][A-Za-z0-9_]*)*")  # and no two underscores in a row


class Node:
    def __init__(self, name):
        assert VALID.fullmatch(name)

    def create_publisher(self, kind, topic, queue):
        assert VALID.fullmatch(topic), f"{topic} is no valid name in ROS"
        assert "__" not in topic, f"{topic} is no valid name in ROS"
        assert queue > 0

        def publish(message):
            assert isinstance(message, kind)
            print(json.dumps({"topic": topic, **message.fields()}), flush=True)

        return SimpleNamespace(publish=publish)

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: {"sec": 1, "nanosec": 2}))

    def get_logger(self):
        def log(text):
            print(text, file=sys.stderr, flush=True)

        return SimpleNamespace(info=log, warning=log)

    def destroy_node(self):
        pass
