"""From a request to an artefact: whatever a producer does, what comes out is one, or an :class:`LlmError`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from dyngraph.profiles import FACETS, UserProfile
from llm_workers.protocols import Facets, LlmError, ProducedProfile, ProfileProducer, ProfileRequest

FacetEncoder = Callable[[Facets], bytes]
"""Text vectors of the four facets, float16, little endian; blocking."""


def profile_maker(
    producer: ProfileProducer, encode: FacetEncoder | None, deadline_s: float
) -> Callable[[ProfileRequest], Awaitable[UserProfile]]:
    """What asks the producer, then the encoder in a thread; without one a profile has no vectors. Raises LlmError."""

    async def make(request: ProfileRequest) -> UserProfile:
        async with guarded(f"the producer {producer.name}, or the text encoder,", deadline_s):
            produced = _checked(await producer.profile(request), producer.name)
            vectors = await asyncio.to_thread(encode, produced.facets) if encode is not None else b""
        return UserProfile(
            request.user_id,
            request.ts,
            request.offset,
            request.events,
            tuple(getattr(produced.facets, name) for name in FACETS),
            vectors,
            produced.producer,
            produced.model_id,
            produced.prompt_version,
            int(time.time() * 1000),
        )

    return make


@asynccontextmanager
async def guarded(who: str, deadline_s: float) -> AsyncIterator[None]:
    """Whatever goes wrong inside comes out as an :class:`LlmError`; only being cancelled from outside stays that."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except LlmError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LlmError("broken_producer", f"something inside {who} was cancelled", retry=True) from error
    except TimeoutError as error:
        message = f"{who} was not done within {deadline_s:g} s; raise deadline_s if it may take so long"
        raise LlmError("timeout", message, retry=True) from error
    except Exception as error:
        # Nothing of the text: it may hold what a user did.
        raise LlmError("broken_producer", f"{who} broke: {type(error).__name__}", retry=False) from error


def _checked(produced: object, name: str) -> ProducedProfile:
    """What a producer gave, if it is what it should be through and through."""
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(produced), type=ProducedProfile)
    except (TypeError, msgspec.ValidationError) as error:
        raise LlmError("invalid_answer", f"the producer {name} gave no profile: {error}", retry=False) from error
