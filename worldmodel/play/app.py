"""The web application: the page, the clips and one socket per page, for this machine's own browser alone."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from worldmodel.config import UserError
from worldmodel.play.guard import Guard
from worldmodel.play.messages import MAX_BYTES, MessageError, parse
from worldmodel.play.outbox import Outbox
from worldmodel.play.server import Server
from worldmodel.play.session import Session

PAGE = Path(__file__).parent / "page"
FILES = {path.name: path for path in sorted(PAGE.iterdir()) if path.suffix in (".css", ".js", ".html", ".svg")}
"""What a page consists of, by name; nothing else is served from there."""
RATE, BURST = 60.0, 120
"""Messages a second that a page may send, and how many at once."""
PATIENCE = 5.0
POLICY, TRY_LATER, BROKEN = 1008, 1013, 1011
"""Codes that a socket is closed with."""


class TokenBucket:
    """Lets `RATE` messages a second pass, `BURST` at once."""

    def __init__(self) -> None:
        self.left, self.at = float(BURST), time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self.left, self.at = min(float(BURST), self.left + RATE * (now - self.at)), now
        self.left -= 1
        return self.left >= 0


def build(server: Server, started: Callable[[], object] = lambda: None) -> Guard:
    """The application around a server; ``started`` is called once it can answer."""
    sessions = Sessions(server)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        started()
        yield
        await sessions.close()
        server.close()

    async def clip(request: Request) -> FileResponse:
        name = request.path_params["name"]
        path = server.out / name
        if not re.fullmatch(r"[\w-]+\.mp4", name) or not path.is_file():
            raise HTTPException(404, f"no such clip; they lie in {server.out}")
        return FileResponse(path, media_type="video/mp4", filename=name, content_disposition_type="inline")

    routes = [
        Route("/", page),
        Route("/page/{name}", page),
        Route("/clips/{name}", clip),
        WebSocketRoute("/socket", sessions.serve),
    ]
    return Guard(Starlette(routes=routes, lifespan=lifespan))


async def page(request: Request) -> FileResponse:
    path = FILES.get(request.path_params.get("name", "index.html"))
    if path is None:
        raise HTTPException(404, "no such file")
    return FileResponse(path, headers={"Cache-Control": "no-cache"})


class Sessions:
    """Every page's session, each with a task that reads, one that sends and one that keeps its clock."""

    def __init__(self, server: Server) -> None:
        self.server, self.open, self.leaving = server, set[Session](), 0

    async def serve(self, socket: WebSocket) -> None:
        """One page from its connection to its end; what goes wrong with it ends no other."""
        await socket.accept()
        outbox = Outbox()
        while self.leaving and self.server.taken >= self.server.seats:  # a reloaded page takes its own seat again
            await asyncio.sleep(0.05)
        try:
            self.server.acquire()
        except UserError as full:
            await self._part(socket, TRY_LATER, str(full))
            return
        session = None
        try:
            session = Session(self.server, outbox, self.server.first())
            self.open.add(session)
            outbox.say("hello", **self.server.hello())
            await self._converse(socket, session, outbox)
        finally:
            await asyncio.shield(self._leave(session))

    async def _leave(self, session: Session | None) -> None:
        self.leaving += 1
        try:
            if session is not None:
                self.open.discard(session)
                await session.close()
        finally:
            self.leaving -= 1
            self.server.release()

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in self.open))

    async def _converse(self, socket: WebSocket, session: Session, outbox: Outbox) -> None:
        work = (_read(socket, session), _send(socket, outbox), session.run())
        tasks = set(map(asyncio.create_task, work))
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        errors = [error for task in done if (error := task.exception())]
        for error in errors:
            if isinstance(error, Farewell):
                await self._part(socket, error.code, str(error))
            elif isinstance(error, UserError | OSError | ValueError):
                await self._part(socket, BROKEN, str(error))
            elif not isinstance(error, WebSocketDisconnect):
                await self._part(socket, BROKEN, "the server has a defect; its terminal says which")
                raise error

    async def _part(self, socket: WebSocket, code: int, reason: str) -> None:
        """Say why, then close; the page may be gone already."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await asyncio.wait_for(socket.send_json({"type": "farewell", "text": reason}), 2)
            await asyncio.wait_for(socket.close(code), 2)


class Farewell(Exception):  # noqa: N818  (no error of ours)
    """The page broke a rule: its socket is closed with ``code`` and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


async def _read(socket: WebSocket, session: Session) -> None:
    """Every message of the page, until it leaves. Raises Farewell where it sends too much."""
    bucket = TokenBucket()
    while True:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            return
        if not bucket.take():
            raise Farewell(POLICY, f"closed: more than {RATE:g} messages a second")
        try:
            session.hear(parse(event.get("text")))
        except MessageError as error:
            session.notice(f"message ignored: {error}", bad=True)


async def _send(socket: WebSocket, outbox: Outbox) -> None:
    while True:
        what = await outbox.next()
        if isinstance(what, bytes):
            await socket.send_bytes(what)
        else:
            await socket.send_text(json.dumps(what, allow_nan=False))


class Impatient(H11Protocol):
    """HTTP that hangs up on a connection that requests nothing within `PATIENCE` seconds."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(PATIENCE, self._hang_up)

    def _hang_up(self) -> None:
        asked = getattr(self, "cycle", None) is not None
        if self in self.connections and not asked:  # a socket's page has another protocol by now
            self.transport.close()


def settings(app: Any) -> uvicorn.Config:
    """How uvicorn runs the application: quietly, with small messages, and without waiting long at the end."""
    return uvicorn.Config(
        app,
        http=Impatient,
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=2 * MAX_BYTES,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        limit_concurrency=512,
        timeout_graceful_shutdown=20,
        server_header=False,
    )
