"""The routes of ``maskl view``, which all lie behind a token."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from maskl.viewer._catalog import describe
from maskl.viewer._classes import class_statistics
from maskl.viewer._guard import LOOPBACK, MAX_BODY, Guard
from maskl.viewer._masks import mask_tag, pack_mask
from maskl.viewer._photos import photo_of
from maskl.viewer._requests import parse_body, parse_count, parse_query, parse_set, parse_step
from maskl.viewer._rows import mask_of, row_whole, window
from maskl.viewer._session import Session
from maskl.viewer._sets import Sets
from maskl.viewer._values import SHORT, mark_of, plain
from maskl_storage.errors import InvalidValue, MasklError, NotFound, QueryTimeout, UsageError
from maskl_storage.format.names import decode_name

__all__ = ["make_app"]

#: rows of a set that are handed out at once, and columns of each
WINDOW: Final = 500
COLUMNS: Final = 64
#: longest side of a thumbnail
MAX_SIDE: Final = 1024
#: seconds within which the body of a request must be there
PATIENCE: Final = 10.0
TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
DIGEST: Final = re.compile("[0-9a-f]{64}")
ROW: Final = re.compile("[0-9]{1,19}")
#: what a stored picture may do where somebody opens it by itself
SANDBOX: Final = "default-src 'none'; sandbox"
FOREVER: Final = "private, immutable, max-age=31536000"
#: what Python, Arrow and DuckDB raise for data that are too deep, too large, or no text
UNUSABLE: Final = (RecursionError, OverflowError, MemoryError, UnicodeError)

Handler = Callable[[Request], Awaitable[Response]]


class _File(NamedTuple):
    """A file of the page, as it was when the server began: it is sent often, and is small."""

    data: bytes
    kind: str
    tag: str

    @classmethod
    def read(cls, entry: Traversable) -> _File:
        data = entry.read_bytes()
        return cls(data, TYPES.get(entry.name.rpartition(".")[2], "application/octet-stream"), f'"{mark_of(data)}"')


class View:
    """What answers the routes.

    Parameters
    ----------
    session : Session
        The store.
    version : str
        Of maskl.
    """

    def __init__(self, session: Session, version: str) -> None:
        self._session, self._version = session, version
        self._sets = Sets(session)
        folder = files("maskl.viewer") / "static"
        self._files = {entry.name: _File.read(entry) for entry in folder.iterdir() if entry.is_file()}
        self._described: tuple[str, bytes] | None = None

    def routes(self) -> list[Route]:
        """Return the routes, by their paths behind the token."""
        return [
            Route("/", _sync(self.page)),
            Route("/static/{name}", _sync(self.static)),
            Route("/api/state", _sync(self.state)),
            Route("/api/set", self.make_set, methods=["POST"]),
            Route("/api/set/{mark}", _sync(self.rows)),
            Route("/api/classes", _sync(self.classes)),
            Route("/api/row/{place:path}", _sync(self.row)),
            Route("/api/mask/{place:path}", _sync(self.mask)),
            Route("/api/thumb/{place:path}", _sync(self.thumb)),
            Route("/api/image/{digest}", _sync(self.image)),
            Route("/api/query", self.query, methods=["POST"]),
        ]

    def page(self, request: Request) -> Response:
        """Return the page itself."""
        return self._file(request, "index.html")

    def static(self, request: Request) -> Response:
        """Return a file of the page: one of those that come with maskl, by its name."""
        return self._file(request, request.path_params["name"])

    def state(self, request: Request) -> Response:
        """Return what there is to look at."""
        moment = self._session.reload()
        known = self._described
        if known is None or known[0] != moment.mark:
            known = self._described = (moment.mark, _dumped(describe(self._session, moment, self._version)))
        return Response(known[1], media_type="application/json")

    async def make_set(self, request: Request) -> Response:
        """Make a set of rows."""
        wanted = parse_set(parse_body(await _body(request)))
        made = await run_in_threadpool(self._sets.make, wanted)
        return _json(made.to_json())

    def rows(self, request: Request) -> Response:
        """Return a window of a set."""
        query = request.query_params
        start = parse_count(query.get("from", "0"), "from", 0, 1 << 40)
        stop = parse_count(query.get("to", str(start + 60)), "to", 0, 1 << 40)
        if stop - start > WINDOW:
            raise InvalidValue(f"at most {WINDOW} rows are handed out at once; got {stop - start}")
        columns = _names(request, "column")
        if len(columns) > COLUMNS:
            raise InvalidValue(f"at most {COLUMNS} columns are handed out at once; got {len(columns)}")
        found = self._sets.get(request.path_params["mark"])
        return _json({"rows": window(found.moment, found, start, stop, columns)})

    def classes(self, request: Request) -> Response:
        """Return coverage and IoU of each class of a set."""
        return _json(class_statistics(self._session, self._sets.get(request.query_params.get("set", ""))))

    def row(self, request: Request) -> Response:
        """Return one row whole."""
        query = request.query_params
        place, _ = _place(request, 3)
        wanted: dict[str, Any] = {name: query.get(name) or None for name in ("image", "truth", "prediction", "key")}
        wanted["runs"] = _names(request, "run")
        wanted["step"] = parse_step(query.get("step", "last"))
        return _json(row_whole(self._session, self._session.moment(), place, wanted))

    def mask(self, request: Request) -> Response:
        """Return the ids of a mask."""
        return self._packed(request, None)

    def thumb(self, request: Request) -> Response:
        """Return the ids of a mask, as a thumbnail has them."""
        return self._packed(request, parse_count(request.query_params.get("max", "256"), "max", 1, MAX_SIDE))

    def image(self, request: Request) -> Response:
        """Return a photo, as it is stored where browsers show that."""
        digest = request.path_params["digest"]
        if not DIGEST.fullmatch(digest):
            raise NotFound("an image is named by its digest, 64 hexadecimal digits")
        side = request.query_params.get("max")
        size = None if side is None else parse_count(side, "max", 1, MAX_SIDE)
        tag = f'"{digest[:32]}-{size or 0}"'
        if _known(request, tag):
            return _unchanged(tag)
        self._session.moment()
        data, media_type = photo_of(self._session.store.image(digest), f"image {digest}", size)
        return Response(data, media_type=media_type, headers={**_cached(tag), "Content-Security-Policy": SANDBOX})

    async def query(self, request: Request) -> Response:
        """Return the answer of a query that the page wrote."""
        sql, limit = parse_query(parse_body(await _body(request)))
        return _json(await run_in_threadpool(self._queried, sql, limit))

    # --- inside ---------------------------------------------------------------------------------

    def _queried(self, sql: str, limit: int) -> dict[str, Any]:
        self._session.moment()
        relation = self._session.asked(_limited(sql, limit + 1))
        names, kinds = list(relation.columns), [str(kind) for kind in relation.types]
        rows = relation.limit(limit + 1).fetchall()
        shown = [
            [
                str(cell) if name == "_row" and cell is not None else plain(cell, SHORT)
                for name, cell in zip(names, row, strict=True)
            ]
            for row in rows[:limit]
        ]
        return {
            "columns": [{"name": name, "type": kind} for name, kind in zip(names, kinds, strict=True)],
            "rows": shown,
            "truncated": len(rows) > limit,
            "addressable": {"run_id", "table_name", "_row"} <= set(names),
        }

    def _packed(self, request: Request, side: int | None) -> Response:
        place, column = _place(request, 4)
        data, classes = mask_of(self._session.moment(), place, column)
        tag = mask_tag(data, place, column, side, classes)
        if _known(request, tag):
            return _unchanged(tag)
        return Response(pack_mask(data, side, classes), media_type="application/octet-stream", headers=_cached(tag))

    def _file(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise NotFound(f"the page has no file {name!r:.80}")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if _known(request, file.tag):
            return Response(status_code=304, headers=headers)
        return Response(file.data, headers={"Content-Type": file.kind, **headers})


def make_app(
    session: Session, token: str, version: str, hosts: Iterable[str] = LOOPBACK, *, addresses: bool = False
) -> Guard:
    """Return the ASGI application that shows a store.

    Parameters
    ----------
    session : Session
        The store.
    token : str
        What the path of every request begins with.
    version : str
        Of maskl, which the page shows.
    hosts, addresses
        What the server is called; see :class:`Guard`.
    """
    handlers: dict[Any, Any] = dict.fromkeys((MasklError, OSError, *UNUSABLE, HTTPException), _answer_error)
    handlers |= dict.fromkeys(_library_errors(), _answer_error)
    handlers[ClientDisconnect] = _answer_error
    app = Starlette(routes=View(session, version).routes(), exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(app, token, hosts, addresses=addresses)


def _sync(call: Callable[[Request], Response]) -> Handler:
    async def handler(request: Request) -> Response:
        return await run_in_threadpool(call, request)

    return handler


async def _body(request: Request) -> bytes:
    """Return the body of a request, which may be neither long nor slow."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MAX_BODY:
                    raise HTTPException(413, f"a request has at most {MAX_BODY:,} bytes", {"Connection": "close"})
                chunks.append(chunk)
    except TimeoutError as error:
        raise HTTPException(
            408, f"the body of the request did not come within {PATIENCE:g} s", {"Connection": "close"}
        ) from error
    return b"".join(chunks)


def _place(request: Request, parts: int) -> tuple[tuple[str, str, int], str]:
    """Return run, table and ``_row`` of a path, and what stands behind them.

    Run and table are spelled as in paths of a store and then for a URL; a table whose slashes are plain is read too.
    """
    raw = bytes(request.scope["raw_path"]).split(b"?")[0].decode("latin-1")
    pieces = raw.split("/")[3:]
    if len(pieces) < parts:
        raise NotFound(f"a row is named by run, table and _row; got {raw[:200]!r}")
    column = unquote(pieces.pop(), errors="strict") if parts == 4 else ""
    run, *table, row = (unquote(piece, errors="strict") for piece in pieces)
    if not ROW.fullmatch(row) or int(row) >= 1 << 63:
        raise NotFound(f"_row is a number of at most 19 digits; got {row!r:.60}")
    return (decode_name(run), decode_name("/".join(table)), int(row)), column


def _names(request: Request, parameter: str) -> list[str]:
    """Return the names that a query has, each as a parameter of its own: they may have commas in them."""
    return [name for name in dict.fromkeys(request.query_params.getlist(parameter)) if name]


def _limited(sql: str, limit: int) -> str:
    """Return a query that stops when it has enough rows, where it is one that can stand in another."""
    body = sql.strip().rstrip(";").rstrip()
    if re.match(r"(?is)(SELECT|FROM|WITH|VALUES)\b", body):
        return f"SELECT * FROM (\n{body}\n) LIMIT {limit}"
    return body


def _dumped(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _json(body: Any, status: int = 200) -> Response:
    return Response(_dumped(body), status, media_type="application/json")


def _cached(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": FOREVER}


def _known(request: Request, tag: str) -> bool:
    return tag in request.headers.get("if-none-match", "")


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers=_cached(tag))


async def _answer_error(request: Request, error: Exception) -> Response:
    """Say what went wrong, and whose fault it is; a failure of the server is none of these."""
    if isinstance(error, HTTPException):
        answer = _json({"error": str(error.detail)}, error.status_code)
        answer.headers.update(error.headers or {})
        return answer
    status = 422
    if isinstance(error, QueryTimeout):
        status = 504
    elif isinstance(error, NotFound | FileNotFoundError):
        status = 404
    elif isinstance(error, UsageError | ClientDisconnect):
        status = 400
    text = str(error) or type(error).__name__
    return _json({"error": text if isinstance(error, MasklError) else f"{type(error).__name__}: {text}"}, status)


def _library_errors() -> tuple[type[Exception], ...]:
    """Return what DuckDB and Arrow raise of data that a query reaches."""
    import duckdb
    import pyarrow as pa

    return (duckdb.Error, pa.ArrowException)
