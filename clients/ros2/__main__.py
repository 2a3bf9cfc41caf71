"""`python -m clients.ros2`: receives emotion events over MQTT and publishes them as `hri_msgs/Expression`."""

import argparse
import json
import sys
from typing import Any
from urllib.parse import SplitResult, unquote

import paho.mqtt.client as paho
import rclpy
from hri_msgs.msg import Expression
from paho.mqtt.enums import CallbackAPIVersion
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from clients.kiosk.broker import parse_broker
from clients.ros2.expressions import ExpressionMapper

TOPIC = "/humans/faces/{speaker}/expression"  # of ROS4HRI (REP 155); its `{speaker}` is the id of a face
QUEUE = 10
EXAMPLES = """examples:
  python -m clients.ros2 lobby                                   a broker on this machine
  python -m clients.ros2 lobby --mqtt mqtts://me:secret@broker.example
  python -m clients.ros2 lobby --topic /robot_face/expression    the robot shows what people feel
  python -m clients.ros2 lobby --ros-args -r __ns:=/kiosk"""


class ExpressionNode(Node):  # type: ignore[misc]  # ROS has no types
    """Publishes on one topic per speaker. Messages of MQTT arrive in paho's thread, from which rclpy may publish."""

    def __init__(self, topic: str) -> None:
        super().__init__("cberl_expressions")
        self._mapper = ExpressionMapper(topic)
        self._publishers: dict[str, Any] = {}

    def receive(self, payload: bytes | bytearray) -> None:
        """An event of the engine. What is none is logged."""
        try:
            mapped = self._mapper.push(json.loads(payload))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.get_logger().warning(f"this is not an event of an engine: {error!r}")
            return
        if mapped is None:
            return
        if mapped.topic not in self._publishers:
            self._publishers[mapped.topic] = self.create_publisher(Expression, mapped.topic, QUEUE)
        message = Expression()
        message.header.stamp = self.get_clock().now().to_msg()
        message.expression = mapped.expression
        message.valence = mapped.valence
        message.arousal = mapped.arousal
        message.confidence = mapped.confidence
        self._publishers[mapped.topic].publish(message)


def connect(broker: SplitResult, topic: str, node: ExpressionNode) -> paho.Client:
    """Connects in the background, and again after every lost connection."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)

    def connected(client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            node.get_logger().warning(f"the broker refuses the connection: {reason}")
            return
        client.subscribe(topic, qos=1)
        node.get_logger().info(f"subscribed to {topic} at {broker.hostname}")

    def received(client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        node.receive(message.payload)

    def failed(client: paho.Client, userdata: Any) -> None:
        node.get_logger().warning(f"no connection to the broker {broker.hostname}; trying again")

    client.on_connect = connected
    client.on_connect_fail = failed
    client.on_message = received
    if broker.username:
        client.username_pw_set(unquote(broker.username), unquote(broker.password or ""))
    if broker.scheme == "mqtts":
        client.tls_set()
    client.connect_async(str(broker.hostname), broker.port or (8883 if broker.scheme == "mqtts" else 1883))
    client.loop_start()
    return client


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m clients.ros2", description="Emotions as hri_msgs/Expression.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("conversation", help="the conversation; + is every conversation")
    parser.add_argument("--mqtt", default="mqtt://localhost", help="the broker (default: %(default)s)")
    parser.add_argument("--prefix", default="cberl", help="the engine's mqtt_prefix (default: %(default)s)")
    parser.add_argument("--topic", default=TOPIC, help="where to publish (default: %(default)s)")
    options = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    try:
        broker = parse_broker(options.mqtt)
    except ValueError as error:
        parser.error(str(error))
    rclpy.init(args=sys.argv)
    node = ExpressionNode(options.topic)
    client = connect(broker, f"{options.prefix}/{options.conversation}/utterance", node)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        client.disconnect()
        client.loop_stop()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
