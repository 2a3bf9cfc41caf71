from hypothesis import given
from hypothesis import strategies as st

from engine.store.outbox import OutboxRow
from engine.webhooks.backlog import Backlog


def row(n, conversation):
    return OutboxRow(n, 0.0, "webhook.final", str(n), conversation, "", "{}")


@given(st.lists(st.sampled_from("abc"), max_size=30), st.randoms(use_true_random=False))
def test_every_conversation_is_sent_in_order_and_nothing_is_acknowledged_before_it_is_done(names, random):
    backlog, rows = Backlog(), [row(n, name) for n, name in enumerate(names, 1)]
    under_way, sent = [], []
    while rows or len(backlog):
        if rows and random.random() < 0.5:
            backlog.push([rows.pop(0)])
        under_way += backlog.ready()
        assert len({it.conversation for it in under_way}) == len(under_way)
        if under_way and random.random() < 0.5:
            done = under_way.pop(random.randrange(len(under_way)))
            sent.append(done)
            backlog.done(done)
        finished = {it.n for it in sent}
        assert backlog.acknowledged <= backlog.read
        assert set(range(1, backlog.acknowledged + 1)) <= finished
    assert (len(backlog), backlog.acknowledged) == (0, len(names))
    for name in set(names):
        order = [it.n for it in sent if it.conversation == name]
        assert order == sorted(order)


def test_a_forgotten_conversation_is_acknowledged_and_may_begin_again():
    backlog = Backlog()
    backlog.push([row(1, "a"), row(2, "a"), row(3, "b")])
    first, other = backlog.ready()
    backlog.forget("a")
    assert first not in backlog
    backlog.push([row(4, "a")])
    assert backlog.ready() == []  # the first one's request is still open
    backlog.done(first)
    assert [it.n for it in backlog.ready()] == [4]
    backlog.done(other)
    assert backlog.acknowledged == 3
