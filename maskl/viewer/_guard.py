"""What every request must be, and what every response says: the door of the server."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MAX_BODY", "Guard", "host_of"]

#: bytes that the body of a request may have
MAX_BODY: Final = 1 << 20
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Lets through what comes from the page itself, and says on every response what browsers may do with it.

    A name that somebody has rebound to this machine is none of ``hosts``, so that no other site reads what is here;
    who does not know the token learns nothing but that there is nothing.

    Parameters
    ----------
    app : ASGI application
        What answers; its paths begin behind the token.
    token : str
        The first part of every path.
    hosts : iterable of str
        Names and addresses that the server is called by, without a port: a forwarded port is another one.
    addresses : bool, optional
        Whether any IP address is one of them: a server that listens on all of them, whose names nobody knows.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str] = LOOPBACK, *, addresses: bool = False) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {host.casefold() for host in hosts}
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in HEADERS if pair[0] not in own)]
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refuse(answer, *refusal)
            return
        await self._app(self._inside(scope), receive, answer)

    def _refusal(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> tuple[int, str] | None:
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1")):
            return 400, "this server does not go by that name"
        token = _raw_path(scope)[1:].partition(b"/")[0]
        if not hmac.compare_digest(token, self._token):
            return 404, "there is nothing here: the address that maskl view printed has a token"
        origins = headers.get(b"origin", [])
        if any(origin.lower() != b"http://" + hosts[0].lower() for origin in origins):
            return 403, "requests come from the page itself, and from no other origin"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "GET and POST are all that this server answers"
        if scope["method"] == "POST":
            kinds = [kind.partition(b";")[0].strip().lower() for kind in headers.get(b"content-type", [])]
            if kinds != [b"application/json"]:
                return 415, "a request with a body is application/json"
        return None

    def _is_ours(self, host: str) -> bool:
        name = host_of(host)
        if name is None:
            return False
        if name.casefold() in self._hosts:
            return True
        return self._addresses and _is_address(name)

    def _inside(self, scope: Scope) -> dict[str, Any]:
        """Return the request with a path behind the token."""
        raw = _raw_path(scope)[1 + len(self._token) :]
        return {**scope, "path": scope["path"][1 + len(self._token) :], "raw_path": raw}


def host_of(header: str) -> str | None:
    """Return the host that a Host header names, without its port; None where it is none.

    Examples
    --------
    >>> host_of("127.0.0.1:80"), host_of("[::1]:8000"), host_of("localhost"), host_of("a b"), host_of("x:y")
    ('127.0.0.1', '::1', 'localhost', None, None)
    """
    if header.startswith("["):
        name, closed, port = header[1:].partition("]")
        if not closed or not _is_address(name):
            return None
    else:
        name, colon, port = header.partition(":")
        port = colon + port
    if port and not (port.startswith(":") and port[1:].isascii() and port[1:].isdigit()):
        return None
    return name if name and all(letter.isalnum() or letter in "-._:" for letter in name) else None


async def refuse(send: Send, status: int, reason: str) -> None:
    """Answer with a reason, and take nothing more from this connection."""
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


def _raw_path(scope: Scope) -> bytes:
    return bytes(scope.get("raw_path") or scope["path"].encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
