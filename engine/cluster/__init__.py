"""Models on Ray Serve, shared by several engines. Needs the extra `cluster`."""
