"""Messages over a stream socket, one JSON document per line."""

from __future__ import annotations

import socket

import msgspec

from genbench.results.files import encode_line


class Lines:
    """A stream socket that carries one JSON document per line."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""

    def send(self, message: msgspec.Struct) -> None:
        """Send one message; raises `OSError` when the other end is closed."""
        self.socket.sendall(encode_line(message) + b"\n")

    def receive(self) -> list[bytes] | None:
        """Wait for data and return the complete lines in it; None when the other end is closed."""
        try:
            chunk = self.socket.recv(1 << 16)
        except ConnectionError:
            return None
        if not chunk:
            return None
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return lines
