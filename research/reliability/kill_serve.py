"""``kill -9`` of a server that records: no episode whose storing was confirmed may be lost or changed.

``python -m research.reliability.kill_serve kills=100 out=eval/reports/reliability/kill_serve.json``
"""

import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from research.reliability.serving import ForkedServer, observation, report
from worldmodel.client import Client, ServerError
from worldmodel.config import option
from worldmodel.data import EpisodeStore, StoreWriter
from worldmodel.data.verification import verify
from worldmodel.settings import load


@dataclass(frozen=True)
class KillConfig:
    """How many kills, of what, and where the result goes."""

    out: str = option("file of the result", "outputs/kill_serve.json")
    kills: int = option("how often the server is killed", 100)
    checkpoint: str = option("what is served", "shipped")
    size: int = option("edge of its frames", 96)
    seconds: float = option("latest kill after the first client, in seconds", 2.0)
    seed: int = option("of the times", 0)


def record_episodes(address: str, size: int, stored: dict[int, np.ndarray], mark: int) -> None:
    """Short episodes until the server is gone; ``stored``: by number the states of those that it says are stored."""
    draw = np.random.default_rng(mark)
    try:
        with Client(address, timeout=20) as client:
            while True:
                states = draw.uniform(0, 0.1, (int(draw.integers(1, 6)), 4)).astype(np.float32)
                for state in states:
                    client.act({**observation(mark, size), "observation.state": state})
                number = client.reset(success=True)
                if number is None or number in stored:
                    stored[-1] = states  # given twice: the first one is gone, and this key is never found
                    return
                stored[number] = states
    except (ConnectionError, ServerError):
        return


def lost_of(path: Path, stored: dict[int, np.ndarray]) -> int:
    """How many of the stored episodes are not in an unsealed store as they were sent."""
    if not StoreWriter.resumable(path):
        return len(stored)
    with StoreWriter.resume(path) as writer:
        ends = np.cumsum([record["length"] for record in writer.records])
        states = writer.read("observation.state") if len(ends) else np.empty((0, 4))
        lost = writer.cut
        for number, sent in stored.items():
            there = 0 <= number < len(ends) and np.array_equal(states[ends[number] - len(sent) : ends[number]], sent)
            lost += not there
    return lost


def main(words: list[str]) -> int:
    config = load("kill_serve", KillConfig, words)
    draw, stored = random.Random(config.seed), dict[int, np.ndarray]()
    found: dict[str, Any] = {"n": 0, "episodes": 0, "lost": 0, "unloadable": 0}
    with tempfile.TemporaryDirectory() as name:
        path, errors = Path(name, "store"), Path(name, "err")
        options = ("port=0", f"record={path}", f"checkpoint={config.checkpoint}")
        for kill in range(config.kills):
            served = ForkedServer(errors, *options)
            clients = [
                threading.Thread(target=record_episodes, args=(served.address, config.size, stored, 2 * kill + n))
                for n in range(2)
            ]
            for client in clients:
                client.start()
            time.sleep(draw.uniform(0.0, config.seconds))
            served.stop(kill=True)
            for client in clients:
                client.join()
            found["n"] += 1
            try:
                found["lost"] += lost_of(path, stored) if stored else 0
            except (OSError, ValueError) as error:
                found["unloadable"] += 1
                print(f"kill {kill}: {error}", flush=True)
        served = ForkedServer(errors, *options)  # the same command goes on, and seals at its end
        sealed = served.stop() == 0 and (not stored or not verify(path))
        found["episodes"] = len(stored)
        found["sealed_and_intact"] = sealed
        if stored:
            found["in_the_store"] = EpisodeStore.open(path).episodes
    failures = found["lost"] + found["unloadable"] + (not sealed)
    return report(config.out, "kill_serve", words, found, failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
