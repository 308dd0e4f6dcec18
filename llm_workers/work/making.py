"""From a job to a profile: whatever a producer does, what comes out is a profile or an :class:`LlmError`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from dyngraph.profiles import FACETS, UserProfile
from llm_workers.protocols import Facets, LlmError, ProducedProfile, ProfileProducer, ProfileRequest

FacetEncoder = Callable[[Facets], bytes]
"""Text vectors of the four facets, float16, little endian; blocking."""


async def make_profile(
    request: ProfileRequest, producer: ProfileProducer, encode: FacetEncoder | None, deadline_s: float
) -> UserProfile:
    """Ask the producer, then the encoder in a thread; without one the profile has no vectors. Raises LlmError."""
    try:
        async with asyncio.timeout(deadline_s):
            produced = _checked(await producer.profile(request), producer.name)
            vectors = await asyncio.to_thread(encode, produced.facets) if encode is not None else b""
    except LlmError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        message = f"something inside the producer {producer.name} was cancelled"
        raise LlmError("broken_producer", message, retry=True) from error
    except TimeoutError as error:
        message = f"the producer {producer.name} gave no profile within {deadline_s:g} s; raise deadline_s if it may"
        raise LlmError("timeout", message, retry=True) from error
    except Exception as error:
        # Nothing of the text: it may hold what a user did.
        message = f"the producer {producer.name} or the text encoder broke: {type(error).__name__}"
        raise LlmError("broken_producer", message, retry=False) from error
    facets = tuple(getattr(produced.facets, name) for name in FACETS)
    return UserProfile(
        request.user_id,
        request.ts,
        request.offset,
        request.events,
        facets,
        vectors,
        produced.producer,
        produced.model_id,
        produced.prompt_version,
        int(time.time() * 1000),
    )


def _checked(produced: object, name: str) -> ProducedProfile:
    """What a producer gave, if it is what it should be through and through."""
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(produced), type=ProducedProfile)
    except (TypeError, msgspec.ValidationError) as error:
        raise LlmError("invalid_answer", f"the producer {name} gave no profile: {error}", retry=False) from error
