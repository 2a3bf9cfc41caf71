from engine.ingest.realtime_detector import RealtimeDetector


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def test_a_live_sender_with_a_fast_clock_and_jitter_is_never_ahead():
    clock = Clock()
    pace = RealtimeDetector(now=clock)
    for second in range(20_000):
        clock.now_s = 100.0 + second + (0.9 if second % 7 == 0 else 0.0)
        assert not pace.ahead("mic", 1.002)


def test_an_upload_is_ahead_soon_and_remains_so_however_long_it_waits():
    clock = Clock()
    pace = RealtimeDetector(now=clock)
    assert [pace.ahead("mic", 0.5) for _ in range(6)] == [False] * 4 + [True] * 2
    for _ in range(1000):
        clock.now_s += 3.0  # the pipeline works at a sixth of real time
        pace.made_to_wait()
        assert pace.ahead("mic", 0.5)


def test_a_sender_that_was_disconnected_may_catch_up_and_still_counts_as_live():
    clock = Clock()
    pace = RealtimeDetector(now=clock)
    pace.ahead("mic", 0.1)
    clock.now_s += 10.0
    assert not any(pace.ahead("mic", 0.1) for _ in range(100))


def test_tracks_are_judged_separately():
    clock = Clock()
    pace = RealtimeDetector(now=clock)
    for _ in range(100):
        clock.now_s += 0.1
        assert not pace.ahead("mic", 0.1)
        assert not pace.ahead("desk", 0.1)
