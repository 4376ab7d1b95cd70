"""The WebSocket server: connections that neither mix nor wait for one another, and one thread for the model."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http
import logging
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from worldmodel.client import pack
from worldmodel.listen import host_name, is_address
from worldmodel.rollout.policy import noise_seed
from worldmodel.schema import Policy
from worldmodel.serve.messages import Interface, Request, RequestError
from worldmodel.serve.metrics import Metrics
from worldmodel.serve.recording import LONGEST, EpisodeRecording, Recorder
from worldmodel.sims.base import InitialState
from worldmodel.sims.slot import History

RATE, BURST = 200.0, 50.0
"""Requests a second that are read from one client, and how many at once; what comes faster waits in its socket."""
PATIENCE = 5.0
"""Seconds that a reply in work has to reach its client once the server stops."""
DROPPED = {"dropped": True}
"""The reply to a request that a newer one of the same client replaced before its turn came."""


@dataclass(frozen=True)
class Service:
    """What is served. ``fresh``: makes a policy for each client, for policies that remember; None shares one.

    call: runs a policy on a batch of one, ``(policy, arrays, seeds, committed)`` to float32 (1, H, A).
    deadline: seconds from a request's arrival to its reply. token: empty where none is needed.
    """

    policy: Policy
    interface: Interface
    metadata: Mapping[str, Any]
    call: Callable[..., np.ndarray]
    fresh: Callable[[], Policy] | None = None
    n_obs_steps: int = 1
    recorder: Recorder | None = None
    deadline: float = 2.0
    clients: int = 8
    token: str = ""
    seed: int = 0


@dataclass
class ClientSession:
    """One client: its policy, its newest request, and what it has been answered."""

    policy: Policy
    history: History
    recording: EpisodeRecording = field(default_factory=EpisodeRecording)
    newest: tuple[bytes | str, float] | None = None
    stale: int = 0
    decision: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    answering: asyncio.Lock = field(default_factory=asyncio.Lock)

    def put(self, data: bytes | str) -> None:
        """A request; one that still waits is dropped."""
        self.stale += self.newest is not None
        self.newest = (data, time.monotonic())
        self.changed.set()

    async def take(self) -> tuple[bytes | str, float, int]:
        """The newest request, when it came, and how many were dropped before it."""
        while self.newest is None:
            self.changed.clear()
            await self.changed.wait()
        (data, came), stale = self.newest, self.stale
        self.newest, self.stale = None, 0
        return data, came, stale


class LateError(Exception):
    """A request's deadline has passed."""


class PolicyServer:
    """Serves until `stop`. All methods but ``_act`` belong to the event loop's thread."""

    def __init__(self, service: Service) -> None:
        self.service, self.metrics = service, Metrics()
        self._hello = pack(dict(service.metadata))
        self._model = ThreadPoolExecutor(1, "model")
        self._stopping = asyncio.Event()

    async def run(self, listener: socket.socket, started: Callable[[], object] = lambda: None) -> None:
        """Warm up, call ``started``, and serve; on `stop` every request in work is answered, every episode stored."""
        if self.service.interface.arrays:
            await asyncio.get_running_loop().run_in_executor(self._model, self._warm_up)
        quiet = logging.getLogger("worldmodel.serve")
        quiet.setLevel(logging.CRITICAL + 1)  # a stranger's broken handshake is no news
        options: dict[str, Any] = {"compression": None, "max_size": self.service.interface.limit, "max_queue": 4}
        options |= {"process_request": self._admit, "server_header": None, "close_timeout": 2, "logger": quiet}
        async with serve(self._serve, sock=listener, **options) as server:
            started()
            await self._stopping.wait()
            server.close(close_connections=False)  # each ends itself, once it has been answered
            await server.wait_closed()
        self._model.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        self._stopping.set()

    def _warm_up(self) -> None:
        """The first calls compile and allocate: before anyone waits for them."""
        shapes = self.service.interface.arrays.items()
        seen = {key: np.zeros([1, *(size or 4 for size in shape)], dtype) for key, (shape, dtype) in shapes}
        if all(None not in shape for shape, _ in self.service.interface.arrays.values()):
            if self.service.n_obs_steps > 1:
                seen = {key: np.stack([value] * self.service.n_obs_steps, axis=1) for key, value in seen.items()}
            for _ in range(2):
                self.service.call(self.service.policy, seen, np.zeros(1, np.int64), None)

    def _admit(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Health and metrics; and who may not connect. None lets a client in."""
        reply, headers, token = connection.respond, request.headers, self.service.token
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return reply(http.HTTPStatus.OK, "ok\n")
        if headers.get_all("Origin"):
            return reply(http.HTTPStatus.FORBIDDEN, "forbidden: no web page may connect\n")
        if token and not _presents(headers, token):
            return reply(http.HTTPStatus.UNAUTHORIZED, "unauthorized: send the header Authorization: Api-Key TOKEN\n")
        if not token and not all(is_address(host_name(host)) for host in headers.get_all("Host")):
            return reply(http.HTTPStatus.FORBIDDEN, "forbidden: call this machine 127.0.0.1 or localhost\n")
        if path == "/metrics":
            recorder = self.service.recorder
            if recorder is not None:
                self.metrics.episodes, self.metrics.unrecorded = recorder.stored, recorder.lost
            found = reply(http.HTTPStatus.OK, self.metrics.text())
            del found.headers["Content-Type"]
            found.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
            return found
        if path != "/":
            return reply(http.HTTPStatus.NOT_FOUND, "not found: there are /, /healthz and /metrics\n")
        if self.metrics.clients >= self.service.clients or self._stopping.is_set():
            return reply(http.HTTPStatus.SERVICE_UNAVAILABLE, f"all {self.service.clients} clients' places are taken\n")
        return None

    async def _serve(self, client: ServerConnection) -> None:
        """One client from its connection to its end; what goes wrong with it ends no other."""
        self.metrics.clients += 1
        session, tasks = None, set[asyncio.Task[Any]]()
        try:
            fresh = self.service.fresh
            policy = self.service.policy if fresh is None else await self._on_model(fresh)
            session = ClientSession(policy, History({}, self.service.n_obs_steps))
            await client.send(self._hello)
            work = (self._read(client, session), self._answer(client, session), self._stopping.wait())
            tasks = {asyncio.create_task(each) for each in work}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(TimeoutError):  # a request in work is answered, if the client listens
                await asyncio.wait_for(session.answering.acquire(), PATIENCE)
            for error in (task.exception() for task in done):
                if error is not None and not isinstance(error, ConnectionClosed):
                    raise error
            await client.close(1001, "the server stops")
        except ConnectionClosed:
            pass
        except Exception:  # noqa: BLE001  # a defect: the client learns that there is one, no more
            traceback.print_exc()
            await client.close(1011, "the server has a defect; its terminal says which")
        finally:
            for task in tasks:
                task.cancel()
            self.metrics.clients -= 1
            if session is not None:
                ended = "the server stopped" if self._stopping.is_set() else "the client left"
                with contextlib.suppress(asyncio.CancelledError):
                    await self._end(session, None, ended)

    async def _read(self, client: ServerConnection, session: ClientSession) -> None:
        """Every request until the client leaves, at the rate that one may have; a large one counts for several."""
        usual, due = self.service.interface.size or self.service.interface.limit, 0.0
        async for data in client:
            now = time.monotonic()
            due = max(due, now - BURST / RATE) + max(1.0, len(data) / (2 * usual)) / RATE
            session.put(data)
            if due > now:
                await asyncio.sleep(due - now)

    async def _answer(self, client: ServerConnection, session: ClientSession) -> None:
        """One reply for each request, in their order."""
        while True:
            data, came, stale = await session.take()
            async with session.answering:
                for _ in range(stale):
                    self.metrics.requests["dropped"] += 1
                    await client.send(pack(DROPPED))
                reply = await self._reply(session, data, came)
                await client.send(reply)

    async def _reply(self, session: ClientSession, data: bytes | str, came: float) -> bytes | str:
        """MessagePack, or a line of text where there is no answer."""
        reply: bytes | str
        outcome = "answered"
        try:
            request, episode = self.service.interface.parse(data), None
            if request.reset:
                episode = await self._end(session, request.success, "by the client", request.executed)
            if request.observation is None:
                reply = pack({"reset": True, "episode": episode})
            else:
                chunk, timing = await self._on_model(self._act, session, request, came)
                reply = pack({"actions": chunk, "server_timing": timing})
                await self._record(session, request, chunk)
        except RequestError as error:
            outcome, reply = "refused", f"refused: {error}"
        except LateError as error:
            outcome, reply = "late", str(error)
        except Exception as error:  # noqa: BLE001  # the policy's own, any: for the terminal, and others go on
            print(f"worldmodel serve: {type(error).__name__} in the policy", file=sys.stderr)
            traceback.print_exc()
            outcome, reply = "failed", "failed: the policy cannot act on this; the server's terminal says why"
        self.metrics.requests[outcome] += 1
        return reply

    def _act(self, session: ClientSession, request: Request, came: float) -> tuple[np.ndarray, dict[str, float]]:
        """A chunk (H, A), on the model's thread. LateError where the deadline passes before or meanwhile."""
        assert request.observation is not None
        service, began = self.service, time.monotonic()
        limit = min(service.deadline, request.deadline or service.deadline)
        if began > came + limit:
            raise LateError(f"late: other clients were before this request for {limit:g} s, its deadline")
        session.history.add(request.observation)
        session.history.look(request.observation)
        seed = request.seed
        if seed is None:
            seed = noise_seed(service.seed, InitialState(0, 0), session.decision)
        stacked = {key: value[None] for key, value in session.history.shown().items()}
        committed = None if request.committed is None else [request.committed]
        chunk = service.call(session.policy, stacked, np.array([seed], np.int64), committed)[0]
        session.decision += 1
        self.metrics.took((ended := time.monotonic()) - began)
        if not np.isfinite(chunk).all():
            raise RequestError("the policy's actions on this are not finite")
        if ended > came + limit:
            raise LateError(f"late: the actions took longer than {limit:g} s, the deadline of this request")
        return chunk, {"infer_ms": 1000 * (ended - began), "wait_ms": 1000 * (began - came)}

    async def _record(self, session: ClientSession, request: Request, chunk: np.ndarray) -> None:
        if self.service.recorder is not None and request.observation is not None:
            session.recording.done(request.executed)
            session.recording.add(request.observation, chunk)
            if session.recording.size > LONGEST:
                await self._store(session, None, "it was long")

    async def _end(
        self, session: ClientSession, success: bool | None, ended: str, executed: np.ndarray | None = None
    ) -> int | None:
        """End a client's episode. Its number, once stored."""
        session.recording.done(executed)
        session.decision, session.history = 0, History({}, self.service.n_obs_steps)
        await self._on_model(session.policy.reset)
        return await self._store(session, success, ended)

    async def _store(self, session: ClientSession, success: bool | None, ended: str) -> int | None:
        recorder = self.service.recorder
        if recorder is None or not session.recording.rows:
            return None
        return await asyncio.wrap_future(recorder.end(session.recording, success, ended))

    async def _on_model(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run something on the model's one thread: clients take turns, each with one call at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._model, call, *arguments)


def _presents(headers: Headers, token: str) -> bool:
    given = headers.get_all("Authorization")
    return len(given) == 1 and hmac.compare_digest(given[0].strip().encode(), f"Api-Key {token}".encode())
