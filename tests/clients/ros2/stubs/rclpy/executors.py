class ExternalShutdownException(Exception):  # noqa: N818 - its name in rclpy
    pass
