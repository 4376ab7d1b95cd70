"""The command ``serve``: a policy behind a WebSocket, in openpi's protocol, until Ctrl-C."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import worldmodel
from worldmodel.config import UserError, check_range, option
from worldmodel.devices import use_threads
from worldmodel.listen import LOCAL, NAMES, bind, check_port

TOKEN = "WORLDMODEL_TOKEN"
"""Environment variable that holds the API key: other programs of this machine see a command line."""


@dataclass(frozen=True)
class ServeConfig:
    """Which policy, for whom, on which port."""

    checkpoint: str = option("shipped, a checkpoint's folder, lerobot:FOLDER, or python:FILE.py:NAME", "shipped")
    task: str = option("what the policy is to do: a task that it was trained for", "place_can")
    port: int = option("port; 0 takes a free one, which is printed", 8000)
    host: str = option("address to listen on; other than 127.0.0.1 needs a token", LOCAL)
    token: str | None = option(f"API key that clients must send; better in the variable {TOKEN}", None)
    record: str | None = option("folder of a store for what is seen and done; null for none", None)
    clients: int = option("how many may be connected at once", 8)
    deadline: float = option("seconds within which a request is answered, or refused as late", 2.0)
    n_action_steps: int = option("actions of each chunk to carry out before the next request, for clients to know", 8)
    steps: int | None = option("sampler steps per chunk; null takes the checkpoint's own", None)
    seed: int = option("seed of the sampler's noise, the same for every client", 0)
    device: str = option("where the policy runs: cpu, cuda, or auto", "auto")
    threads: int = option("threads of the policy on a CPU; 0 takes half of the cores", 0)

    def __post_init__(self) -> None:
        check_port(self.port)
        check_range(self, clients=(1, 256), n_action_steps=(1, 1024), seed=(0, 2**62), threads=(0, 1024))
        if not 0 < self.deadline <= 600:
            raise ValueError(f"deadline={self.deadline}: expected seconds above 0, at most 600")

    @property
    def key(self) -> str:
        """The token in force, empty for none. Raises UserError where one is needed, or is none."""
        token = self.token or os.environ.get(TOKEN, "")
        if token and (len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token):
            raise UserError("token: expected at least 8 letters, digits or signs without spaces")
        if not token and self.host not in NAMES:
            advice = f"set the variable {TOKEN}, or serve on {LOCAL} and reach it through an SSH tunnel"
            raise UserError(f"host={self.host}: anyone who reaches it could use the policy; {advice}")
        return token


def serve(config: ServeConfig) -> int:
    """Serve until Ctrl-C or SIGTERM, then answer what is in work and seal what was recorded. Raises UserError."""
    for name in ("msgpack", "websockets"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"serve needs {name}: pip install 'worldmodel[serve]', or run `make setup` in a checkout")
    token = config.key
    with bind(config.port, config.host) as listener:  # first: the quickest thing that can go wrong
        use_threads(config.threads)
        server = open_server(config, token)
        host, port = listener.getsockname()[:2]
        where = f"ws://{f'[{host}]' if ':' in host else host}:{port}"

        def started() -> None:
            print(where, flush=True)
            what = f"{config.task}, checkpoint {config.checkpoint}; {'with' if token else 'without'} a token"
            print(f"worldmodel serve: {what}; Ctrl-C ends it", file=sys.stderr, flush=True)

        asyncio.run(_until_stopped(server, listener, started))
    recorder, answered = server.service.recorder, server.metrics.requests["answered"]
    kept = f"; {recorder.close()}" if recorder else ""
    print(f"worldmodel serve: closed after {answered} answers{kept}", file=sys.stderr)
    return 0


def open_server(config: ServeConfig, token: str) -> Any:
    """The server of a config, model loaded. Raises UserError or CheckpointError, one line."""
    from worldmodel.policies.load import PYTHON, PolicyOptions, load_policy
    from worldmodel.rollout.policy import BatchedPolicy
    from worldmodel.serve.messages import Interface
    from worldmodel.serve.recording import Recorder
    from worldmodel.serve.server import PolicyServer, Service

    options = PolicyOptions(config.n_action_steps, config.steps, config.device)
    loaded = load_policy(config.checkpoint, config.task, options)
    interface = Interface.of(loaded, config.task)
    limits = {"n_action_steps": config.n_action_steps, "deadline": config.deadline, "max_bytes": interface.limit}
    made = _lineage(config.checkpoint, loaded.sha256)
    recorder = None
    if config.record:
        recipe = {"served": loaded.sha256, "task": config.task, "rows": "one a request"}
        facts = {"recipe": recipe, "version": worldmodel.__version__, "rate": interface.rate, "lineage": made}
        facts |= {"command": "worldmodel serve", "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        recorder = Recorder(Path(config.record), config.task, facts)
    fresh = None
    if config.checkpoint.startswith(PYTHON):  # which may remember
        fresh = lambda: load_policy(config.checkpoint, config.task, options).policy  # noqa: E731
    seeded = BatchedPolicy(loaded.policy, 1)

    def call(policy: Any, *arguments: Any) -> Any:
        seeded.policy = policy
        return seeded.call(*arguments)

    metadata = {**interface.metadata(loaded), **limits, "lineage": made}
    given = (fresh, loaded.n_obs_steps, recorder, config.deadline, config.clients, token, config.seed)
    return PolicyServer(Service(loaded.policy, interface, metadata, call, *given))


def _lineage(checkpoint: str, sha256: str) -> dict[str, Any]:
    """What made the weights, as far as the checkpoint says."""
    from worldmodel.model_card import CheckpointError, card

    try:
        made = card(checkpoint)["provenance"]
    except CheckpointError:
        made = {}
    data = [entry.get("fingerprint") for entry in made.get("data") or []]
    found = {key: made.get(key) for key in ("command", "steps", "code", "hardware")}
    return {"checkpoint": Path(checkpoint).name, "weights": sha256, "data": data, **found}


async def _until_stopped(server: Any, listener: Any, started: Any) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.stop()
        for number in (signal.SIGINT, signal.SIGTERM):  # a second one acts at once
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await server.run(listener, started)
