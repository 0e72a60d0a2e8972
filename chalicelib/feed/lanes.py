"""Posting side by side without one slow receiver standing in the way of the others.

Work waits in lanes, one for each endpoint. A free thread takes from the lane with the least under way, and while there
are several lanes none holds more than a quarter of the threads; so an endpoint that hangs costs the others nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

L = TypeVar("L", bound=Hashable)
W = TypeVar("W")
R = TypeVar("R")
T = TypeVar("T")

THREADS = 16
"""Threads that post. They mostly wait for receivers, so they are many for the processor and few for its memory."""

TICK_SECONDS = 1.0


def run(
    lanes: Mapping[L, Sequence[W]],
    work: Callable[[W], R],
    *,
    may_start: Callable[[L], bool],
    threads: int = THREADS,
) -> Iterator[list[tuple[W, R | None]]]:
    """Does the work of all lanes and yields it with its results, in groups as they come.

    `may_start` is asked for a lane before each piece of its work; once it says no, that piece comes back undone (None).
    An empty group says that nothing was finished for `TICK_SECONDS`. Raises what `work` raises: it should return what
    went wrong instead.
    """
    waiting = {lane: deque(pieces) for lane, pieces in lanes.items() if pieces}
    load: Counter[L] = Counter()
    ended: SimpleQueue[tuple[L, W, Future[R]]] = SimpleQueue()
    with ThreadPoolExecutor(threads, thread_name_prefix="post") as executor:
        while waiting or load.total():
            undone: list[tuple[W, R | None]] = []
            while load.total() < threads and (lane := _next_lane(waiting, load, threads)) is not None:
                piece = waiting[lane].popleft()
                if not waiting[lane]:
                    del waiting[lane]
                if may_start(lane):
                    load[lane] += 1
                    done = executor.submit(work, piece)
                    done.add_done_callback(partial(_report, ended, lane, piece))
                else:
                    undone.append((piece, None))
            if undone:
                yield undone
                continue
            finished: list[tuple[W, R | None]] = []
            for lane, piece, future in _taken(ended):
                load[lane] -= 1
                finished.append((piece, future.result()))
            yield finished


def _report(ended: SimpleQueue[tuple[L, W, Future[R]]], lane: L, piece: W, future: Future[R]) -> None:
    ended.put((lane, piece, future))


def _taken(ended: SimpleQueue[T]) -> Iterator[T]:
    """What has ended: at least one piece unless nothing ends within the tick, and no more waiting after the first."""
    with suppress(Empty):
        yield ended.get(timeout=TICK_SECONDS)
        while True:
            yield ended.get_nowait()


def _next_lane(waiting: Mapping[L, deque[W]], load: Counter[L], threads: int) -> L | None:
    """The lane with the least under way among those that may have more, or None."""
    if not waiting:
        return None
    several = len(waiting) > 1 or any(count for lane, count in load.items() if lane not in waiting)
    share = max(1, threads // 4) if several else threads
    free = [lane for lane in waiting if load[lane] < share]
    return min(free, key=lambda lane: load[lane]) if free else None
