"""What a job is called: by its content, so that the same file means the same jobs after any crash."""

import hashlib
import json
import uuid
from collections import Counter
from typing import Any

_NAMESPACE = uuid.UUID("6f1c1f0e-8a55-5a0b-9a53-6c0b5d1f3c77")


def canonical(value: Any) -> bytes:
    """One spelling of a JSON value: keys sorted, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


class Keys:
    """Gives keys to the lines of one file, in order."""

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def key(self, spec: Any) -> str:
        """32 hexadecimal digits. Two equal lines are two pictures: how often this very content came
        before is part of the key.
        """
        content = hashlib.sha256(canonical(spec)).digest()
        before = self._seen[content]
        self._seen[content] += 1
        return hashlib.sha256(content + before.to_bytes(4, "big")).hexdigest()[:32]


def seed_of(key: str) -> int:
    """The seed of a job that names none, 32 bits: drawn from its key, so that a second try of it gives
    the same picture."""
    return int.from_bytes(hashlib.sha256(b"seed " + key.encode()).digest()[:4], "big")


def prompt_id(key: str, attempt: int) -> str:
    """ComfyUI's id of one try; a canonical UUID, as `/prompt` wants it."""
    return str(uuid.uuid5(_NAMESPACE, f"{key}/{attempt}"))
