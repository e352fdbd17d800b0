"""The server of ``maskl view``: where it listens, what it prints, and how the browser comes to it."""

from __future__ import annotations

import getpass
import ipaddress
import os
import secrets
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Final

from maskl.drawing.html import escape
from maskl.viewer._guard import LOOPBACK
from maskl.viewer._memory import give_back
from maskl.viewer._session import Session, ViewedStore
from maskl_storage.errors import InvalidValue
from maskl_storage.extras import optional
from maskl_storage.lazy import begin_without_pandas

__all__ = ["ViewedStore", "serve"]

#: bytes of randomness that an address holds
TOKEN: Final = 32
#: connections that are answered at once; a browser opens six
CONNECTIONS: Final = 256
#: seconds that answers get when the server ends
GRACE: Final = 1


def serve(
    store: ViewedStore,
    version: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    fragment: str = "",
    open_browser: bool = True,
    say: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> None:
    """Show a store until the process is interrupted.

    Parameters
    ----------
    store : ViewedStore
        The store.
    version : str
        Of maskl, which the page shows.
    host : str, optional
        The address to listen on.
    port : int, optional
        The port; 0 takes a free one.
    fragment : str, optional
        What the page begins with, as its address has it behind ``#``.
    open_browser : bool, optional
        Whether to open a browser; over SSH none is.
    say, warn : callable, optional
        What prints lines for people; the first line is the address.

    Raises
    ------
    MissingExtra
        Starlette or uvicorn is not installed.
    InvalidValue
        The address cannot be listened on.
    """
    import pyarrow as pa

    uvicorn = optional("uvicorn", "maskl view", extra="view")
    optional("starlette", "maskl view", extra="view")
    from maskl.viewer._app import make_app

    token = secrets.token_urlsafe(TOKEN)
    # what Arrow lets go of goes back to the system; the pool that it has otherwise keeps it
    pa.set_memory_pool(pa.system_memory_pool())
    give_back()
    begin_without_pandas()
    session = Session(store)
    session.moment()
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        everywhere = host in ("0.0.0.0", "::")  # noqa: S104  # asked for, and warned of
        called = _shown_host(host)
        address = f"http://{called}:{port}/{token}/"
        say(address)
        if fragment:
            say(f"{address}#{fragment}")
        if not _is_loopback(host):
            warn(
                f"everybody who reaches {host} and learns this address sees the store, and it goes over the network "
                f"unencrypted: without --host it is for this machine alone"
            )
        tunnel = _tunnel(port)
        if tunnel is not None:
            say(f"Forward the port from where the browser is, then open the address there:  {tunnel}")
        hosts = {*LOOPBACK, host, called.strip("[]")} | ({socket.gethostname()} if not _is_loopback(host) else set())
        app = make_app(session, token, version, hosts, addresses=everywhere)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE,
        )
        opened: Path | None = None
        try:
            if open_browser and tunnel is None:
                opened = _open(f"{address}#{fragment}" if fragment else address, warn)
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has ended, and hands on what ended it
            pass
        finally:
            if opened is not None:
                opened.unlink(missing_ok=True)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens: whoever reads the address may come at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError, UnicodeError, TypeError) as error:  # the last where it cannot be encoded
        listener.close()
        raise InvalidValue(
            f"cannot listen on {host!r}, port {port}: {error}: choose another --port or --host"
        ) from error
    return listener


def _shown_host(host: str) -> str:
    """Return a host as an address has it."""
    if host == "0.0.0.0":  # noqa: S104  # it is no address to go to
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tunnel(port: int) -> str | None:
    """Return the command that forwards a port to where somebody sits, None where they sit here."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    if len(words) != 4:
        return None
    there, ssh = words[2], words[3]
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "user"
    other = "" if ssh == "22" else f" -p {ssh}"
    return f"ssh -N -L {port}:127.0.0.1:{port}{other} {user}@{there}"


def _open(address: str, warn: Callable[[str], None]) -> Path:
    """Open a browser on a file that leads to the address: who lists processes sees their arguments, and no token."""
    descriptor, name = tempfile.mkstemp(prefix="maskl-view-", suffix=".html")  # only its owner may read it
    path = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0;url={escape(address)}"><title>maskl view</title>'
            f'<a href="{escape(address)}">maskl view</a>'
        )

    def go() -> None:
        try:
            found = webbrowser.open(path.as_uri())
        except (webbrowser.Error, OSError):
            found = False
        if not found:
            warn("no browser could be opened: open the address yourself")

    threading.Thread(target=go, name="maskl-browser", daemon=True).start()
    return path
