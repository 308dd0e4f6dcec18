"""What each profile cost, kept from its making to its publishing: the workbench hands on profiles, not bills."""

from __future__ import annotations

from llm_workers.protocols import ProducedProfile, ProducerName, ProfileRequest, Spent
from streams.llm.parts import Parts


class Meter:
    """The producer of `parts`, whichever it is by now; remembers what each user's profile cost until that is taken."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._spent: dict[str, Spent] = {}

    @property
    def name(self) -> ProducerName:
        """Of the producer behind."""
        return self._parts.producer.name

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        """Raises :class:`llm_workers.protocols.LlmError`."""
        self._spent.pop(request.user_id, None)
        made = await self._parts.producer.profile(request)
        self._spent[request.user_id] = made.spent
        return made

    def take(self, request: ProfileRequest) -> Spent:
        """What it cost; nothing where that is not known."""
        return self._spent.pop(request.user_id, Spent())
