"""Reading ahead changes neither the order nor the end."""

import threading

from overtone.data.prefetch import prefetch


def test_batches_come_in_order_and_end_with_the_loop():
    threads = threading.active_count()
    drawn = prefetch(lambda step: (step, 2), 5)
    assert [next(drawn) for _ in range(3)] == [(5, 2), (6, 2), (7, 2)]
    drawn.close()
    assert threading.active_count() == threads
