"""The `cberl` command as a process of its own, which Ctrl-C ends also where the tests run in the background."""

# A test run in the background has SIGINT ignored, and its child processes inherit that.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from engine.cli import main; main()"
