"""Ids for events that came without one, so that a repeat is recognised live and in replay alike."""

from __future__ import annotations

import hashlib


def digest_of(*parts: str) -> str:
    """32 hex digits (BLAKE2b-128) of a sequence of texts; lengths are part of it, so joining cannot collide.

    >>> digest_of("ab", "c") == digest_of("a", "bc")
    False
    """
    encoded = (part.encode() for part in parts)
    return hashlib.blake2b(b"".join(b"%d:%b" % (len(e), e) for e in encoded), digest_size=16).hexdigest()


def derive_event_id(user_id: str, item_id: str, event_type: str, ts_ms: int, repeat: int = 0) -> str:
    """The id that follows from what happened. ``event_type`` is the name on the wire.

    ``repeat`` tells apart equal rows of one file: they are events of their own, and only the first may be derived by a
    reader that sees one record at a time.
    """
    plain = digest_of(user_id, item_id, event_type, str(ts_ms))
    return f"{plain}-{repeat}" if repeat else plain
