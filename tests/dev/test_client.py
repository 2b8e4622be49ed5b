import socket
import struct
import threading

import pytest

from dev.client import refusal_text
from dev.websocket import WebSocketClosedError, WebSocketReader

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(payload: bytes, opcode: int = 1, final: bool = True) -> bytes:
    """An unmasked frame, as servers send them."""
    head = bytes((opcode | (0x80 if final else 0),))
    if len(payload) < 126:
        return head + bytes((len(payload),)) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + struct.pack(">H", len(payload)) + payload
    return head + b"\x7f" + struct.pack(">Q", len(payload)) + payload


@pytest.fixture
def serve():
    """Answers one connection with the given bytes, in pieces; keeps what came back."""
    listener = socket.create_server(("127.0.0.1", 0))
    back: list[bytes] = []

    def start(*pieces: bytes) -> str:
        def talk():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                while got := connection.recv(65536):
                    back.append(got)

        threading.Thread(target=talk, daemon=True).start()
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/ws?clientId=1"

    start.back = back
    yield start
    listener.close()


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, 200_000])
def test_messages_of_every_length_form(serve, length):
    reader = WebSocketReader(serve(UPGRADE + frame(b"x" * length)), timeout=10)
    assert next(reader.messages()) == "x" * length


def test_a_message_in_fragments_with_a_ping_between(serve):
    parts = frame(b"one ", final=False) + frame(b"hi", opcode=9) + frame(b"two", opcode=0)
    # Cut anywhere: frames and network packets have nothing to do with each other.
    reader = WebSocketReader(serve(UPGRADE + parts[:3], parts[3:9], parts[9:]), timeout=10)
    assert next(reader.messages()) == "one two"
    reader.close()


def test_a_ping_is_answered_with_its_payload(serve):
    address = serve(UPGRADE + frame(b"hi", opcode=9) + frame(b"end"))
    reader = WebSocketReader(address, timeout=10)
    next(reader.messages())
    reader._socket.shutdown(socket.SHUT_WR)
    while not serve.back:
        pass
    pong = b"".join(serve.back)
    mask = pong[2:6]
    assert pong[0] == 0x8A and pong[1] == 0x82
    assert bytes(byte ^ mask[i % 4] for i, byte in enumerate(pong[6:])) == b"hi"


def test_binary_messages_are_skipped(serve):
    reader = WebSocketReader(serve(UPGRADE + frame(b"\xff", opcode=2) + frame(b"text")), timeout=10)
    assert next(reader.messages()) == "text"


@pytest.mark.parametrize("end", [frame(b"", opcode=8), b"", frame(b"cut")[:3]])
def test_an_ended_connection_is_an_error_not_a_hang(serve, end):
    reader = WebSocketReader(serve(UPGRADE + end), timeout=10)
    with pytest.raises(WebSocketClosedError):
        next(reader.messages())


def test_no_websocket_there(serve):
    with pytest.raises(WebSocketClosedError, match="404"):
        WebSocketReader(serve(b"HTTP/1.1 404 Not Found\r\n\r\n"), timeout=10)


def test_a_refusal_names_class_and_reason():
    answer = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {
            "3": {
                "class_type": "LoadImage",
                "errors": [{"message": "Custom validation failed", "details": "image - no file"}],
            }
        },
    }
    text = refusal_text(answer)
    assert text.splitlines()[1] == "LoadImage: Custom validation failed: image - no file"
