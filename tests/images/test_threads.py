"""How many threads encode images, and how many bytes wait for them."""

from __future__ import annotations

import multiprocessing.process
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import maskl
from maskl.errors import InvalidValue
from maskl.images import threads
from maskl.images.encoding import OVERHEAD, ImageEncoder
from maskl.images.threads import encoder_threads, set_encoder_threads
from maskl_storage.disk.futures import Job

Start = Callable[..., maskl.Run]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MASKL_ENCODER_THREADS", raising=False)
    set_encoder_threads(None)
    yield
    set_encoder_threads(None)


def in_fork(call: Callable[[], int]) -> int:
    """Return what a call returns in a forked child, 0 to 255."""
    child = os.fork()
    if child == 0:
        os._exit(call())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(("cores", "wanted"), [(1, 1), (2, 2), (8, 8), (64, 8)])
def test_there_is_a_thread_for_each_core_that_the_process_may_use(
    cores: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hasattr(os, "process_cpu_count"):
        monkeypatch.setattr(os, "process_cpu_count", lambda: cores)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert encoder_threads() == wanted


def test_a_setting_limits_them_and_then_the_environment(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKL_ENCODER_THREADS", "5")
    assert encoder_threads() == 5
    with start(settings={"encoder_threads": 3}) as run:
        assert run.settings.encoder_threads == 3
        assert encoder_threads() == 3
    with start() as run:
        assert (run.settings.encoder_threads, encoder_threads()) == (5, 5)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "many", 5000])
def test_what_is_no_number_of_threads_is_refused(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValue, match="encoder_threads must be a whole number of threads from 1 to 1024; got"):
        maskl.Settings(encoder_threads=wrong)
    monkeypatch.setenv("MASKL_ENCODER_THREADS", str(wrong))
    with pytest.raises(InvalidValue, match="variable MASKL_ENCODER_THREADS"):
        encoder_threads()


def test_forks_and_workers_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    set_encoder_threads(4)
    assert in_fork(encoder_threads) == 1
    assert encoder_threads() == 4
    monkeypatch.setattr(multiprocessing.process, "parent_process", lambda: object())  # as in a worker of any kind
    assert encoder_threads() == 1


class Held(Job[int]):
    """A job that ends when somebody waits for it."""

    waited: list[Held]

    def __init__(self) -> None:
        self.gate = threading.Event()
        super().__init__(lambda: int(self.gate.wait()))

    def wait(self) -> None:
        if not self.done:
            self.waited.append(self)
            self.gate.set()
        super().wait()


@pytest.fixture
def held() -> Iterator[list[Held]]:
    Held.waited = []
    jobs = [Held() for _ in range(4)]
    yield jobs
    for job in jobs:
        job.gate.set()


@pytest.mark.parametrize("workers", [1, 3])
def test_who_submits_waits_while_too_many_bytes_are_under_way(held: list[Held], workers: int) -> None:
    encoder = ImageEncoder(workers, in_flight=2 * OVERHEAD, each=1000)  # two images, or a thousand bytes a thread
    for job in held[:2]:
        encoder.submit(job, 300 * workers)  # type: ignore[arg-type]  # any job will do
    assert Held.waited == []
    encoder.submit(held[2], 0)  # type: ignore[arg-type]  # as above
    assert Held.waited == [held[0]]


def test_an_image_larger_than_all_that_may_wait_goes_alone(held: list[Held]) -> None:
    encoder = ImageEncoder(2, in_flight=1000, each=0)
    encoder.submit(held[0], 1 << 30)  # type: ignore[arg-type]  # as above
    assert Held.waited == []
    encoder.submit(held[1], 1 << 30)  # type: ignore[arg-type]  # as above
    assert Held.waited == [held[0]]


def test_the_number_of_threads_may_change_while_images_are_under_way(
    start: Start, store_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3), "u1")
    monkeypatch.setattr(threads, "cores", lambda: 1)
    with start() as run:
        table = maskl.Table(["image"])
        for number, frame in enumerate(frames):
            set_encoder_threads(1 + number % 3)
            table.add_data(maskl.Image(frame))
        run.log({"t": table})
    stored = maskl.open(store_dir).table("t")
    assert all(np.array_equal(np.array(stored[at]["image"].image), frame) for at, frame in enumerate(frames))
