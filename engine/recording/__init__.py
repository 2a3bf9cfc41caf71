"""Keeps what publishers send, on request, to replay it: the container, its writer, and its limits."""
