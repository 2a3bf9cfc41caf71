"""Emotions of a conversation as `hri_msgs/Expression` of ROS4HRI: a ROS 2 node. `python -m clients.ros2 --help`."""
