"""What waits to be sent to one page: its newest packet only, and a few messages; a slow page slows no other."""

import asyncio
from collections import deque
from typing import Any

UNSEEN = 3
"""Packets that may be on their way before the page has drawn one."""
WORDS = 32
"""Messages (status, notices) that may wait; beyond that the oldest are dropped."""


class Outbox:
    """One slot for packets, a short queue for messages. Used from the event loop's thread alone."""

    def __init__(self) -> None:
        self._packet: tuple[int, bytes] | None = None
        self._words: deque[dict[str, Any]] = deque(maxlen=WORDS)
        self._flying: deque[int] = deque()
        self._changed = asyncio.Event()

    def show(self, tick: int, packet: bytes) -> None:
        """The newest packet; one that still waits is dropped."""
        self._packet = (tick, packet)
        self._changed.set()

    def say(self, word: str, /, **values: Any) -> None:
        self._words.append({"type": word, **values})
        self._changed.set()

    def seen(self, tick: int) -> None:
        """The page has drawn packet ``tick`` and so all before it."""
        while self._flying and self._flying[0] <= tick:
            self._flying.popleft()
        self._changed.set()

    async def next(self) -> dict[str, Any] | bytes:
        """Messages first, then the newest packet once the page keeps up."""
        while True:
            if self._words:
                return self._words.popleft()
            if self._packet is not None and len(self._flying) < UNSEEN:
                tick, packet = self._packet
                self._packet = None
                self._flying.append(tick)
                return packet
            self._changed.clear()
            await self._changed.wait()
