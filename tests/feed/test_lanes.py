"""Work in lanes: everything comes back once, and no lane takes the threads of another."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.feed.lanes import run

LANES = st.dictionaries(st.integers(0, 5), st.lists(st.integers(), max_size=8), max_size=5)


@settings(max_examples=30, deadline=None)
@given(lanes=LANES, closed=st.sets(st.integers(0, 5)), threads=st.integers(1, 6))
def test_every_piece_comes_back_once_with_its_result_or_undone(lanes, closed, threads):
    work = {lane: [(lane, piece) for piece in pieces] for lane, pieces in lanes.items()}
    groups = run(work, lambda piece: ("did", piece), may_start=lambda lane: lane not in closed, threads=threads)
    results = [each for group in groups for each in group]
    assert Counter(piece for piece, _ in results) == Counter(p for pieces in work.values() for p in pieces)
    assert all(result == (None if piece[0] in closed else ("did", piece)) for piece, result in results)


def test_lanes_that_hang_leave_threads_to_the_others():
    released, done = threading.Event(), []

    def work(piece: tuple[str, int]) -> bool:
        if piece[0] == "healthy":
            done.append(piece)
            if len(done) == 10:
                released.set()
            return True
        return released.wait(20)

    lanes = {lane: [(lane, i) for i in range(10)] for lane in ("hung", "hung too", "hung as well", "healthy")}
    results = [each for group in run(lanes, work, may_start=lambda _: True, threads=16) for each in group]
    assert len(results) == 40
    assert all(result for _, result in results)


def test_a_single_lane_may_have_every_thread():
    together = threading.Barrier(4, timeout=20)
    groups = run({"only": range(4)}, lambda _: together.wait(), may_start=lambda _: True, threads=4)
    assert sorted(place for group in groups for _, place in group) == [0, 1, 2, 3]
