"""A small store of every kind of table, and a client of the server over it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskl
from benchmarks.browser import chromium, viewing
from tests.conftest import HANGS

if find_spec("starlette") is None:
    collect_ignore_glob = ["test_app*.py"]

TOKEN = "t" * 43
CLASSES = {0: "road", 1: "차량", 2: "رصيف", 3: "<script>", 9: "void"}
HOSTILE = "<script>alert(1)</script>javascript:alert(2)\x07\u202e"
ROWS = 8


class Client:
    """Asks the server as its page does, and takes what comes for JSON."""

    def __init__(self, app: Any) -> None:
        from starlette.testclient import TestClient

        self.http = TestClient(app, base_url="http://127.0.0.1:8000")

    def get(self, path: str, **options: Any) -> Any:
        """Return the response of a path behind the token."""
        return self.http.get(f"/{TOKEN}/{path}", **options)

    def post(self, path: str, body: Any, **options: Any) -> Any:
        """Return the response to an object of JSON."""
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(f"/{TOKEN}/{path}", content=content, headers=headers, **options)

    def json(self, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer that is one."""
        answer = self.get(path) if body is None else self.post(path, body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def set(self, table: str, runs: list[str], **more: Any) -> Any:
        """Return a set of rows."""
        request = {"image": "image", "truth": "ground_truth", "prediction": "predictions", "step": "last"}
        return self.json("api/set", request | {"table": table, "runs": runs} | more)

    def rows(self, found: Any, columns: str = "") -> list[Any]:
        """Return all rows of a set."""
        named = "".join(f"&column={name}" for name in columns.split(",") if name)
        return self.json(f"api/set/{found['set']}?from=0&to=500{named}")["rows"]


def image(number: int, wrong: float, caption: str | None = None, **more: Any) -> maskl.Image:
    """Return an image with its truth, and a prediction of which a share is wrong."""
    rng = np.random.default_rng(number)
    truth = rng.choice([0, 1, 2, 9], (12, 16))
    guess = np.where(rng.random(truth.shape) < wrong, (truth + 1) % 3, truth)
    masks = {
        "ground_truth": {"mask_data": truth, "class_labels": CLASSES, "ignore_index": {9}},
        "predictions": {"mask_data": guess, "class_labels": CLASSES},
    }
    photo = np.random.default_rng(1000 + number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return maskl.Image(photo, caption=caption, masks=masks, **more)


def fill(folder: Path) -> None:
    """Log two runs of a table at several steps, and one of other kinds of tables."""
    quiet = maskl.Settings(silent=True)
    for name, steps, skill in (("baseline", 3, 0.5), ("실험", 2, 0.1)):
        with maskl.init(dir=folder, project="거리", name=name, settings=quiet) as run:
            for step in range(steps):
                table = maskl.Table(columns=["name", "image", "loss", "good"])
                for number in range(ROWS):
                    caption = HOSTILE if number == 1 else f"장면 {number}"
                    loss = None if number == 2 else number / (step + 1)
                    wrong = 0.9 if number == 5 else skill
                    table.add_data(f"f{number}", image(number, wrong, caption), loss, number % 2 == 0)
                run.log({"val/평가": table}, step=step)
    with maskl.init(dir=folder, project="others", name="odd", settings=quiet) as run:
        bare = maskl.Table(columns=["word", "number"], data=[["b", 1.5], [HOSTILE, float("nan")], ["a", float("inf")]])
        run.log({"bare": bare}, step=0)
        mutable = maskl.Table(columns=["image"], log_mode="MUTABLE")
        mutable.add_data(image(0, 0.5))
        run.log({"mutable": mutable}, step=1)
        maskl.open(folder).refresh()  # sealed, so that what is logged next replaces a part
        mutable.add_data(image(1, 0.5))
        run.log({"mutable": mutable}, step=2)
        growing = maskl.Table(columns=["n"], log_mode="INCREMENTAL")
        for step in (3, 4):
            growing.add_data(step)
            run.log({"growing": growing}, step=step)
        photo = np.zeros((8, 8, 3), np.uint8)
        partly = maskl.Table(columns=["image", "second"])
        mask = {"mask_data": np.full((8, 8), 70_000), "class_labels": {70_000: "far"}}
        partly.add_data(maskl.Image(photo, masks={"predictions": mask}), maskl.Image(photo))
        partly.add_data(maskl.Image(photo), None)
        run.log({"partly": partly}, step=5)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a store is that tests only look at."""
    folder = tmp_path_factory.mktemp("viewed") / "store"
    fill(folder)
    return folder


@pytest.fixture(scope="session")
def serving() -> Callable[..., Client]:
    """What gives a client of a server over a store."""
    from maskl.viewer._app import make_app
    from maskl.viewer._session import Session, ViewedStore

    def serving(folder: Path, hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1"), **options: Any) -> Client:
        addresses = options.pop("addresses", False)
        options = {"timeout": HANGS, **options}  # a busy machine takes long
        return Client(make_app(Session(ViewedStore(folder), **options), TOKEN, "1", hosts, addresses=addresses))

    return serving


@pytest.fixture(scope="session")
def client(filled: Path, serving: Callable[..., Client]) -> Client:
    """A client of a server over the store of the session, one for all tests: what they ask does not outlast an answer.

    With it go the processes that answer queries, which take longest to begin.
    """
    return serving(filled)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for the tests of one file."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(store: Path) -> Iterator[str]:
    """The address of a server over the store of the tests of one file."""
    with viewing(store) as address:
        yield address
