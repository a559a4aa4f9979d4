"""A line between a program and a Neo4j server on this machine that breaks: by lot, or as a test says."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import deque
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["BadLine", "Fate"]

COMMIT = b"\x00\x02\xb0\x12\x00\x00"
"""The message of the Bolt protocol that commits a transaction, with its length and its end."""
Fate = Literal["passed", "lost", "unanswered"]


class BadLine:
    """Passes on what comes, and cuts connections: within a message, before a commit arrives, or before its answer.

    Args:
        uri: Address of the server.
        seed: Of the lot.

    Attributes:
        uri: The address to connect to instead.
        fates: What becomes of the next commits; the lot decides on those that follow.
        share: Chance of a commit to be lost, and as much again of its answer to be.
        rest: Chance of any other piece of what is sent, either way, to be lost.
        unanswered: How many commits reached the server whose answer was thrown away.
        cut: How many connections were cut in all.
    """

    def __init__(self, uri: str, seed: int = 0) -> None:
        parts = urlsplit(uri)
        self._server = (str(parts.hostname), parts.port or 7687)
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        # Without routing, since a routing table would lead past this line.
        self.uri = f"bolt://127.0.0.1:{self._listener.getsockname()[1]}"
        self.fates: deque[Fate] = deque()
        self.share = self.rest = 0.0
        self.unanswered = self.cut = 0
        self._closed = False
        self._ends: set[socket.socket] = set()
        self._ways: list[threading.Thread] = []
        self._door = threading.Thread(target=self._accept)
        self._door.start()

    def close(self) -> None:
        """Cut every connection and take no more, as a server that is gone; closing twice is harmless."""
        self._closed = True
        self._door.join()
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            self._hang_up(end)
        for way in self._ways:
            way.join()

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                with contextlib.suppress(OSError):
                    self._connect(self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server, timeout=10)
        except OSError:  # the server is gone
            client.close()
            return
        with self._lock:
            self._ends |= {client, server}
        deaf = threading.Event()
        for end in (client, server):
            end.settimeout(None)
        for way in ((client, server, deaf, True), (server, client, deaf, False)):
            self._ways.append(threading.Thread(target=self._pass_on, args=way))
            self._ways[-1].start()

    def _pass_on(self, source: socket.socket, goal: socket.socket, deaf: threading.Event, asks: bool) -> None:
        with contextlib.suppress(OSError):  # the other way was cut, or one side hung up
            while data := source.recv(65536):
                if deaf.is_set() and not asks:
                    self.unanswered += 1
                    self.cut += 1
                    break
                fate = self._fate(commits=asks and COMMIT in data)
                if fate == "lost":
                    self.cut += 1
                    goal.sendall(data[: len(data) // 2])
                    break
                if fate == "unanswered":
                    deaf.set()
                goal.sendall(data)
        self._hang_up(source)
        self._hang_up(goal)

    def _fate(self, commits: bool) -> Fate:
        with self._lock:
            if commits and self.fates:
                return self.fates.popleft()
            lot = self._chance.random()
        if lot < (self.share if commits else self.rest):
            return "lost"
        return "unanswered" if commits and lot < 2 * self.share else "passed"

    def _hang_up(self, end: socket.socket) -> None:
        with self._lock:
            self._ends.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
