"""Threads that begin, and are waited for, while signals come."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from unittest.mock import Mock

import pytest

from maskl_storage.disk import futures
from maskl_storage.disk.futures import Pool, Timer
from tests.conftest import HANGS, eventually
from tests.durability.interrupts import AtMoment

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer that signals"),
]


armed: list[bool] = []


@pytest.fixture(autouse=True)
def _interrupts() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        if armed:
            armed.clear()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    armed.clear()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupt_in(seconds: float) -> None:
    armed.append(True)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def test_no_call_is_lost_and_nothing_but_the_interrupt_is_raised() -> None:
    interrupted = 0
    for number in range(400):
        pool, made, returned = Pool(1), list[int](), list[int]()
        for call in range(6):
            try:
                try:
                    interrupt_in(1e-6 * (1 + 3 * (number % 50)))
                    job = pool.submit(partial(made.append, call))
                    returned.append(call)
                    job.result()
                finally:
                    armed.clear()
            except KeyboardInterrupt:
                interrupted += 1
        pool.end()
        assert made == sorted(made)
        assert set(returned) <= set(made)
    assert interrupted


def test_calls_are_made_in_order_by_one_thread_however_many_begin() -> None:
    pool, at_work, most = Pool(1), list[int](), list[int]()

    def call(number: int) -> int:
        at_work.append(number)
        most.append(len(at_work))
        time.sleep(0.001)
        at_work.remove(number)
        return number

    jobs = [pool.submit(partial(call, number)) for number in range(30)]
    assert [job.result() for job in jobs] == list(range(30))
    assert set(most) == {1}
    pool.end()
    assert pool.submit(dict).result() == {}
    pool.end()
    pool.end()


def test_a_thread_that_has_waited_long_ends_and_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futures, "IDLE", 0.0005)
    pool = Pool(2)
    for number in range(200):
        assert pool.submit(partial(int, number)).result() == number
        time.sleep(0.001 * (number % 3) / 2)


def test_what_waits_is_cancelled_and_what_runs_is_waited_for() -> None:
    pool, goes_on, made = Pool(1), threading.Event(), list[int]()
    first = pool.submit(goes_on.wait)
    rest = [pool.submit(partial(made.append, number)) for number in range(3)]
    threading.Timer(0.02, goes_on.set).start()
    pool.end(cancel=True)
    assert first.done
    for job in rest:
        with pytest.raises(RuntimeError, match="its pool ended"):
            job.result()
    assert made == []


def test_where_no_thread_begins_the_call_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, made = Pool(1), list[int]()
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", Mock(side_effect=RuntimeError("no more threads")))
        with pytest.raises(RuntimeError, match="no more threads"):
            pool.submit(partial(made.append, 1))
        pool.end()
    pool.submit(partial(made.append, 2)).result()
    assert made == [2]


def test_waiting_for_a_result_is_interrupted_and_goes_on() -> None:
    pool, waits = Pool(1), threading.Event()
    future = pool.submit(waits.wait)
    interrupt_in(0.01)
    with pytest.raises(KeyboardInterrupt):
        future.result()
    waits.set()
    assert future.result()
    failing = pool.submit(lambda: [][0])
    with pytest.raises(IndexError):
        failing.result()


def test_a_timer_calls_once_its_time_is_over_or_never_after_it_is_cancelled() -> None:
    called = threading.Semaphore(0)
    Timer(0, called.release)
    assert called.acquire(timeout=HANGS)
    never: list[int] = []
    for _ in range(50):
        timer = Timer(HANGS, partial(never.append, 1))
        timer.cancel()
        timer.cancel()
    assert never == []


def test_whatever_interrupts_a_timer_its_thread_ends() -> None:
    before = _thread._count()
    for at in itertools.count(1):
        timer = Timer(HANGS, Mock(side_effect=AssertionError))
        with contextlib.suppress(KeyboardInterrupt), AtMoment(at) as interrupt:
            timer.cancel()
        if not interrupt.done:
            break
        timer.cancel()
    assert at > 1
    eventually(lambda: _thread._count() <= before)


def test_a_timer_that_calls_again_does_so_until_its_end_is_waited_for() -> None:
    calls = threading.Semaphore(0)
    made: list[int] = []

    def call() -> None:
        made.append(1)
        calls.release()

    timer = Timer(0, call, again=0)
    for _ in range(20):
        assert calls.acquire(timeout=HANGS)
    assert not timer.done
    timer.end()
    assert timer.done
    count = len(made)
    timer.end()
    assert len(made) == count >= 20


def test_a_timer_whose_call_raises_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    unraisable = list[object]()
    before, sys.unraisablehook = sys.unraisablehook, lambda told: unraisable.append(told.exc_value)
    try:
        timer = Timer(0, partial(int, "no number"))
        timer.wait()
        eventually(lambda: unraisable)
    finally:
        sys.unraisablehook = before
    assert timer.done
    assert str(unraisable[0]).startswith("invalid literal")
    assert capfd.readouterr().out == ""
