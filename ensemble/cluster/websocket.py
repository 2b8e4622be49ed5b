"""The reading half of a WebSocket (RFC 6455): enough to follow ComfyUI's progress without a
package."""

import base64
import os
import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocketClosedError(ConnectionError):
    """The server ended the connection."""


class WebSocketReader:
    """Opens `ws://host:port/path` at construction; `messages` yields its text frames."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        self._socket = socket.create_connection(address, timeout=timeout)
        self._buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        head = self._read_until(b"\r\n\r\n").split(b"\r\n", 1)[0]
        if b" 101 " not in head:
            raise WebSocketClosedError(f"no WebSocket at {url}: {head.decode(errors='replace')}")

    def settimeout(self, seconds: float | None) -> None:
        """How long a message may be waited for."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self._socket.close()

    def messages(self) -> Iterator[str]:
        """Text messages in order; binary ones (previews) are skipped. Raises WebSocketClosedError
        at the
        end."""
        kind, whole = 0, b""
        while True:
            final, opcode, payload = self._frame()
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE:
                raise WebSocketClosedError("ComfyUI closed the connection")
            elif opcode != PONG:
                # Opcode 0 continues the message before it.
                kind = opcode or kind
                whole = payload if opcode else whole + payload
                if final and kind == TEXT:
                    yield whole.decode()

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return bool(first & 0x80), first & 0x0F, self._read(length)

    def _send(self, opcode: int, payload: bytes) -> None:
        """One control frame (payload under 126 bytes); what a client sends must be masked."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._socket.sendall(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            chunk = self._socket.recv(max(65536, count - len(self._buffer)))
            if not chunk:
                raise WebSocketClosedError("ComfyUI ended the connection")
            self._buffer += chunk
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise WebSocketClosedError("ComfyUI ended the connection")
            self._buffer += chunk
        head, _, self._buffer = self._buffer.partition(mark)
        return head
