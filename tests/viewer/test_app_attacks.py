"""Whoever asks, and whatever they ask: refusals with a reason, never a failure, and never a change of the store."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

import maskl
from maskl.errors import DamagedWarning
from maskl_storage.format.names import encode_name
from tests.conftest import HANGS, files_of
from tests.viewer.conftest import HOSTILE, TOKEN, Client

pytestmark = pytest.mark.once

HOST = "127.0.0.1:8000"
TABLE = "val/평가"


@pytest.fixture(autouse=True)
def _the_store_stays_as_it_is(filled: Path) -> Iterator[None]:
    before = files_of(filled)
    yield
    assert files_of(filled) == before


def refused(answer: Any, status: int, *words: str) -> None:
    """Check that an answer is a refusal with a reason, and that browsers are told what they may do with it."""
    assert answer.status_code == status, answer.text
    reason = answer.json()["error"]
    for word in words:
        assert word in reason
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "access-control-allow-origin" not in answer.headers


# --- who asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "10.0.0.1:8000",
        "127.0.0.1:8000@evil.example",
        "[::1",
        "127.0.0.1:80:80",
        "127.0.0.1:x",
        "",
        "a b",
        "[evil.example]:8000",
        "0x7f.1:8000",
        "2130706433",
    ],
)
def test_a_name_that_is_none_of_the_servers_is_refused(client: Client, host: str) -> None:
    refused(client.get("", headers={"Host": host}), 400, "name")
    refused(client.post("api/query", {"sql": "FROM runs"}, headers={"Host": host}), 400, "name")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST:65535", "[::1]:8000"])
def test_the_servers_names_are_its_own_at_any_port(client: Client, host: str) -> None:
    assert client.get("", headers={"Host": host}).status_code == 200


def test_a_server_on_every_address_takes_addresses_and_no_other_names(
    filled: Path, serving: Callable[..., Client]
) -> None:
    client = serving(filled, addresses=True)
    assert client.get("", headers={"Host": "10.0.0.1:8000"}).status_code == 200
    refused(client.get("", headers={"Host": "rebound.example:8000"}), 400)


@pytest.mark.parametrize("headers", [[], [(b"host", HOST.encode()), (b"host", b"evil.example")]])
def test_no_host_and_two_hosts_are_refused(client: Client, headers: list[tuple[bytes, bytes]]) -> None:
    """By ASGI itself: no client sends such a request."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    path = f"/{TOKEN}/"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "headers": headers,
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "http_version": "1.0",
    }
    asyncio.run(client.http.app(scope, receive, send))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/api/state",
        f"/{TOKEN[:-1]}/api/state",
        f"/{TOKEN}t/api/state",
        f"/{TOKEN.upper()}/api/state",
        f"/x{TOKEN}/",
        f"//{TOKEN}/",
        f"/{TOKEN[:-1]}%00/",
        "/%ff/",
        f"/./{TOKEN}x/",
        "/favicon.ico",
        f"/{TOKEN}",
    ],
)
def test_who_does_not_know_the_token_finds_nothing(client: Client, path: str) -> None:
    refused(client.http.get(path), 404)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:9000", "http://localhost:8000", ""],
)
def test_requests_of_other_origins_are_refused(client: Client, origin: str) -> None:
    refused(client.post("api/query", {"sql": "FROM runs"}, headers={"Origin": origin}), 403, "origin")
    refused(client.get("api/state", headers={"Origin": origin}), 403)


def test_the_pages_own_origin_may_ask(client: Client) -> None:
    answer = client.post("api/query", {"sql": "FROM runs"}, headers={"Origin": f"http://{HOST}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/json", ""]
)
def test_forms_are_refused(client: Client, kind: str) -> None:
    refused(client.post("api/query", b'{"sql": "FROM runs"}', headers={"Content-Type": kind}), 415, "application/json")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["", "api/state", "api/query"])
def test_other_methods_are_refused(client: Client, method: str, path: str) -> None:
    refused(client.http.request(method, f"/{TOKEN}/{path}"), 405)


def test_a_route_answers_its_own_method(client: Client) -> None:
    refused(client.get("api/query"), 405)
    refused(client.post("api/state", {}), 405)


def test_every_answer_says_what_browsers_may_do(client: Client) -> None:
    for path in ("", "static/main.js", "api/state", "api/nothing", "api/image/x"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "set-cookie" not in headers


# --- what they ask --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (FROM runs) TO 'out.csv'",
        "CREATE TABLE t AS FROM runs",
        "DROP VIEW runs",
        "ATTACH 'x.db'",
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "INSTALL httpfs",
        "FROM read_text('/etc/hostname')",
        "SET memory_limit = '10GB'",
        "PRAGMA database_list",
        "SELECT 1; DROP VIEW runs",
        "FROM query('COPY runs TO ''out.csv''')",
        "EXPORT DATABASE 'out'",
        "SELECT getenv('HOME')",
        "CALL pragma_version()",
        "",
        "SELEC 1",
        "FROM nowhere",
        "SELECT error('no')",
        "(" * 5000,
        "SELECT '\ud800'",
        "SELECT " + "1+" * 60_000 + "1",
    ],
)
def test_sql_that_writes_or_reads_elsewhere_or_is_none_is_refused(
    client: Client, filled: Path, tmp_path: Path, sql: str
) -> None:
    run = maskl.open(filled).runs()[0].run_id
    for path, body in (("api/query", {"sql": sql}), ("api/set", {"table": TABLE, "runs": [run], "sql": sql})):
        if path == "api/set" and not sql:
            continue  # no query at all
        answer = client.post(path, body)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert answer.json()["error"]
    assert list(tmp_path.iterdir()) == []


def test_a_query_without_end_is_stopped_and_the_page_goes_on(filled: Path, serving: Callable[..., Client]) -> None:
    client = serving(filled, timeout=0.2)
    endless = "SELECT count(*) FROM range(100000000000) AS a, range(1000) AS b WHERE a.range % 7 = b.range"
    refused(client.post("api/query", {"sql": endless}), 504, "stopped")
    assert client.get("api/state").status_code == 200
    assert client.get("").status_code == 200


def test_a_query_of_too_many_rows_or_too_much_memory_is_refused(filled: Path, serving: Callable[..., Client]) -> None:
    client = serving(filled, memory="32MB")
    run = maskl.open(filled).runs()[0].run_id
    many = f"SELECT '{run}' AS run_id, '{TABLE}' AS table_name, range AS _row FROM range(1000000000)"
    refused(client.post("api/set", {"table": TABLE, "runs": [run], "sql": many}), 400, "memory")
    sort = "SELECT range FROM range(100000000) ORDER BY hash(range)"
    refused(client.post("api/query", {"sql": f"SELECT max(range) FROM ({sort} LIMIT 90000000)"}), 400, "memory")
    assert client.get("api/state").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nothing",
        b'"text"',
        b"[" * 100_000,
        b"\xff\xfe",
        b"{}",
        b'{"sql": 1}',
        b'{"sql": null}',
        b'{"sql": "FROM runs", "limit": -1}',
        b'{"sql": "FROM runs", "limit": 1e400}',
        b'{"sql": "FROM runs", "limit": true}',
        b'{"sql": "FROM runs", "limit": "many"}',
        b'{"sql": "FROM runs", "limit": 99999999999999999999}',
        b'{"sql": "FROM runs", "limit": ' + b"9" * 5000 + b"}",
    ],
)
def test_bodies_that_are_none_are_refused(client: Client, body: bytes) -> None:
    answer = client.post("api/query", body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "more",
    [
        {"runs": "all"},
        {"runs": [1]},
        {"runs": ["nobody"]},
        {"runs": ["x"] * 5000},
        {"table": "nothing"},
        {"table": 3},
        {"step": "first"},
        {"step": 1.5},
        {"step": 1 << 70},
        {"step": True},
        {"sort": []},
        {"sort": {"by": 1}},
        {"sort": {"by": "loss; DROP"}},
        {"sort": {"by": 'column:"'}},
        {"sort": {"by": "column:image"}},
        {"sort": {"by": "iou:"}},
        {"range": [1]},
        {"range": [float("nan"), 1]},
        {"range": "0-1"},
        {"range": [10**400, 1]},
        {"bins": 0},
        {"bins": 10**9},
        {"image": 1},
        {"truth": []},
    ],
)
def test_sets_that_cannot_be_are_refused(client: Client, filled: Path, more: dict[str, Any]) -> None:
    run = maskl.open(filled).run("실험").id
    body = {"table": TABLE, "runs": [run], "image": "image", "truth": "ground_truth", "prediction": "predictions"}
    answer = client.post("api/set", body | more)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]


def test_names_that_are_not_there_are_texts_and_no_sql(client: Client, filled: Path) -> None:
    run = maskl.open(filled).run("실험").id
    odd = "'; DROP VIEW runs; --"
    assert client.set(TABLE, [run], image=odd, truth=odd, prediction=odd, sort={"by": "mean_iou"})["total"] == 8
    found = client.set(TABLE, [run], sort={"by": f"iou:{odd}"})
    assert found["histogram"] is None
    answer = client.get(f"api/classes?set={client.set(TABLE, [run], image=odd, truth=odd)['set']}")
    assert answer.status_code == 400
    assert f"has no image with a mask '{odd}'" in answer.json()["error"]
    assert maskl.open(filled).sql("SELECT count(*) FROM runs").fetchall() != [(0,)]


@pytest.mark.parametrize(
    "path",
    [
        "api/image/../../maskl.json",
        "api/image/..%2f..%2fmaskl.json",
        "api/image/..%252f..%252fmaskl.json",
        "api/image/" + "0" * 64,
        "api/image/" + "A" * 64,
        "api/image/" + "0" * 63,
        "api/image/",
        "api/image/%00",
        "api/image/..%5c..%5cmaskl.json",
        f"api/image/{'0' * 64}%0a",
        "api/row/nobody/t/1",
        "api/row/RUN/TABLE/999999",
        "api/row/RUN/TABLE/-1",
        "api/row/RUN/TABLE/1e3",
        "api/row/RUN/TABLE/" + "9" * 19,
        "api/row/RUN/TABLE/" + "9" * 400,
        "api/row/RUN/nothing/0",
        "api/row/RUN",
        "api/row/",
        "api/row/RUN/TABLE/٣",
        "api/row/%ff/TABLE/1",
        "api/row/../../etc/passwd/1",
        "api/row/RUN/TABLE/0%00",
        "api/mask/RUN/TABLE/0/image",
        "api/mask/RUN/TABLE/0/nothing",
        "api/mask/RUN/TABLE/0/name",
        "api/mask/RUN/TABLE/0/..",
        "api/mask/RUN/TABLE/999999/image__mask__predictions",
        "api/mask/RUN/TABLE/image__mask__predictions",
        "api/mask/",
        "api/mask/RUN/TABLE/0/image__mask__%00",
        "api/mask/RUN/TABLE/0/%ff",
        "api/thumb/RUN/TABLE/0/nothing?max=10",
        "api/thumb/RUN/TABLE/0/image__mask__predictions?max=0",
        "api/thumb/RUN/TABLE/0/image__mask__predictions?max=99999",
        "api/thumb/RUN/TABLE/0/image__mask__predictions?max=x",
        "api/image/" + "0" * 64 + "?max=-1",
        "api/set/nothing",
        "api/set/SET?from=-1",
        "api/set/SET?from=0&to=501",
        "api/set/SET?from=x",
        "api/set/SET?" + "&".join(f"column=a{number}" for number in range(100)),
        "api/classes",
        "api/classes?set=../x",
        "api",
        "api/../../x",
        "static/%2e%2e/x",
    ],
)
def test_addresses_that_lead_nowhere_are_refused(client: Client, filled: Path, path: str) -> None:
    run = maskl.open(filled).run("실험").id
    if "SET" in path:
        path = path.replace("SET", client.set(TABLE, [run])["set"])
    answer = client.get(path.replace("RUN", run).replace("TABLE", "val%252F평가"))
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]
    assert "maskl.json" not in answer.text or "image" in path


def test_columns_that_are_not_there_and_windows_past_the_end_are_empty(client: Client, filled: Path) -> None:
    found = client.set(TABLE, [maskl.open(filled).run("실험").id])
    rows = client.json(f"api/set/{found['set']}?from=0&to=1&column=nothing&column=image")["rows"]
    assert rows[0]["values"] == {"nothing": None, "image": None}
    assert client.json(f"api/set/{found['set']}?from=5000&to=5060")["rows"] == []
    assert client.json(f"api/set/{found['set']}?from=9&to=3")["rows"] == []


def test_what_people_wrote_is_json_and_no_markup(
    serving: Callable[..., Client], start: Callable[..., maskl.Run], store_dir: Path
) -> None:
    """Names of runs, projects, tables, columns, masks and classes, captions and cells: the same texts come out."""
    masks = {HOSTILE: {"mask_data": np.zeros((2, 2), np.uint8), "class_labels": {0: HOSTILE}}}
    picture = maskl.Image(np.zeros((2, 2, 3), np.uint8), caption=HOSTILE, masks=masks)
    with start(name=HOSTILE, project=HOSTILE) as run:
        run.log({HOSTILE: maskl.Table([HOSTILE, "image"], [[HOSTILE, picture]])})
    client = serving(store_dir)
    state = client.json("api/state")
    assert (state["runs"][0]["name"], state["projects"], state["tables"][0]["name"]) == (HOSTILE, [HOSTILE], HOSTILE)
    assert state["tables"][0]["classes"][f"image/{HOSTILE}"][0]["name"] == HOSTILE
    found = client.set(HOSTILE, [run.id], prediction=HOSTILE, truth=None)
    window = f"api/set/{found['set']}?from=0&to=5&column={quote(HOSTILE)}"
    (row,) = client.json(window)["rows"]
    assert (row["image"]["caption"], row["values"], row["masks"]) == (HOSTILE, {HOSTILE: HOSTILE}, [HOSTILE])
    run_id, table = (quote(encode_name(name), safe="") for name in (run.id, HOSTILE))
    place = f"{run_id}/{table}/{row['row']}"
    whole = client.json(f"api/row/{place}")
    assert eval(whole["python"], {"maskl": maskl})[HOSTILE] == HOSTILE
    assert client.json("api/query", {"sql": whole["sql"]})["rows"]
    assert client.get(whole["masks"][0]["url"]).status_code == 200
    for path in (
        "api/state",
        window,
        f"api/row/{place}",
        f"api/classes?set={found['set']}",
        f"api/set/{'0' * 24}<script>",
    ):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"\x07" not in answer.content


# --- how they ask: a real server, whose sockets matter --------------------------------------------


@contextmanager
def served(app: Any) -> Iterator[tuple[str, int]]:
    """Run a server in a thread, and give where it listens."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", http="h11", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(HANGS)


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} /{TOKEN}/{path} HTTP/1.1", f"Host: {HOST}", *lines, "", ""]).encode()


def test_a_body_without_end_is_cut_off(client: Client) -> None:
    with served(client.http.app) as where, socket.create_connection(where, timeout=HANGS) as wire:
        wire.sendall(head("api/query", "Content-Type: application/json", "Transfer-Encoding: chunked"))
        chunks = 0
        try:
            while chunks < 1024:
                wire.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                chunks += 1
        except OSError:  # whoever goes on sending finds nobody
            pass
        assert 0 < chunks < 1024


def test_a_long_body_is_refused_with_a_reason(client: Client) -> None:
    refused(client.post("api/query", b'{"sql": "' + b" " * (1 << 20) + b'"}'), 413, "1,048,576")


def test_a_body_that_does_not_come_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from maskl.viewer import _app

    monkeypatch.setattr(_app, "PATIENCE", 0.1)
    with served(client.http.app) as where, socket.create_connection(where, timeout=HANGS) as wire:
        wire.sendall(head("api/query", "Content-Type: application/json", "Content-Length: 100") + b'{"sql"')
        assert wire.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_fifty_at_once_are_all_answered(client: Client, filled: Path) -> None:
    run = maskl.open(filled).run("실험").id
    row = client.rows(client.set(TABLE, [run]))[0]["row"]
    paths = [
        "api/state",
        f"api/row/{run}/val%252F%ED%8F%89%EA%B0%80/{row}?image=image&truth=ground_truth&prediction=predictions",
        f"api/mask/{run}/val%252F%ED%8F%89%EA%B0%80/{row}/image__mask__predictions",
    ]

    def ask(number: int) -> int:
        if number % 5 == 4:
            return int(client.post("api/query", {"sql": f"SELECT {number}"}).status_code)
        if number % 5 == 3:
            return int(client.post("api/set", {"table": TABLE, "runs": [run], "step": number % 3}).status_code)
        return int(client.get(paths[number % 5]).status_code)

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(ask, range(50))) == {200}


def test_clients_that_go_away_are_not_missed(client: Client) -> None:
    with served(client.http.app) as where:
        for piece in (
            b"GET ",
            head("api/state", method="GET"),
            head("api/query", "Content-Length: 50") + b"{",
            b"\x00" * 99,
        ):
            with socket.create_connection(where, timeout=HANGS) as wire:
                wire.sendall(piece)
        with socket.create_connection(where, timeout=HANGS) as wire:
            wire.sendall(head("api/state", "Connection: close", method="GET"))
            answer = b"".join(iter(lambda: wire.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200")


# --- what happens meanwhile -----------------------------------------------------------------------


@pytest.fixture
def own(filled: Path, tmp_path: Path) -> Path:
    """Where a store is that the test may change."""
    folder = tmp_path / "own"
    shutil.copytree(filled, folder)
    return folder


def test_a_store_that_is_compacted_while_it_is_viewed_goes_on(own: Path, serving: Callable[..., Client]) -> None:
    client = serving(own)
    store = maskl.open(own)
    run = store.run("실험").id
    found = client.set(TABLE, [run], sort={"by": "mean_iou"})
    before = client.rows(found, "name")
    store.compact()
    for path in store.root.rglob("*.parquet"):  # what is no longer live, as after ten minutes
        live = {sealed.part.path for sealed in store._layout.listing().parts}
        if path.relative_to(store.root).as_posix() not in live:
            path.unlink()
    assert client.rows(found, "name") == before
    assert client.set(TABLE, [run], sort={"by": "column:loss"})["total"] == len(before)
    url = f"api/mask/{run}/val%252F%ED%8F%89%EA%B0%80/{before[0]['row']}/image__mask__predictions"
    assert client.get(url).status_code == 200
    assert client.get("api/state").status_code == 200


def test_a_store_that_is_deleted_while_it_is_viewed_is_said_to_be_gone(
    own: Path, serving: Callable[..., Client]
) -> None:
    client = serving(own)
    run = maskl.open(own).run("실험").id
    found = client.set(TABLE, [run])
    shutil.rmtree(own)
    assert own.exists() is False
    for answer in (
        client.get(f"api/set/{found['set']}?from=0&to=5"),
        client.get("api/image/" + "0" * 64),
        client.post("api/query", {"sql": "FROM row_iou('val/평가')"}),
        client.post("api/set", {"table": "bare", "runs": [run]}),
    ):
        assert answer.status_code < 500, answer.text
        assert json.loads(answer.content)
    assert own.exists() is False


@pytest.mark.filterwarnings("ignore::maskl_storage.errors.DamagedWarning")
@pytest.mark.parametrize("kind", ["rows", "scores", "class_totals", "images", "seals", "runs"])
@pytest.mark.parametrize("how", ["cut", "zeroed", "empty"])
def test_damaged_files_are_said_to_be_damaged(
    client: Client, own: Path, serving: Callable[..., Client], kind: str, how: str
) -> None:
    assert issubclass(DamagedWarning, UserWarning)
    run = maskl.open(own).run("실험").id
    row = client_row(client, run)  # of the store that this one is a copy of
    for path in (own / "maskl-store" / kind).rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            path.write_bytes({"cut": data[: len(data) // 2], "zeroed": bytes(len(data)), "empty": b""}[how])
    client = serving(own)
    where = f"{run}/val%252F%ED%8F%89%EA%B0%80/{row['row']}"
    scored = {"table": TABLE, "runs": [run], "image": "image", "truth": "ground_truth", "prediction": "predictions"}
    answers = [
        client.get("api/state"),
        client.post("api/set", scored),
        client.post("api/set", scored | {"sort": {"by": "mean_iou"}}),
        client.get(f"api/row/{where}?image=image&truth=ground_truth&prediction=predictions"),
        client.get(f"api/mask/{where}/image__mask__predictions"),
        client.get(f"api/image/{row['image']['digest']}"),
        client.post("api/query", {"sql": "FROM class_totals"}),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        if answer.status_code != 200:
            assert answer.json()["error"]
    assert {answer.status_code for answer in answers} != {200} or kind in ("class_totals", "runs")
    made = client.post("api/set", scored)
    if made.status_code == 200:
        assert client.get(f"api/set/{made.json()['set']}?from=0&to=9").status_code == 200


def client_row(client: Client, run: str) -> Any:
    return client.rows(client.set(TABLE, [run]))[0]
