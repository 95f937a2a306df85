"""Seeds that depend on words alone: the same on every machine and every Python."""

from __future__ import annotations

import hashlib


def derive_seed(*words: str | int) -> int:
    """A seed in [0, 2**32) from the words, through SHA-256.

    32 bits, because NumPy's legacy generators (inside Optuna's samplers) take no more. Words are
    joined with a separator that cannot occur in them, so ("ab", "c") and ("a", "bc") differ.
    """
    text = "\x1f".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
