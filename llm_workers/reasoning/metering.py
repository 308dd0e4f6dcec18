"""What reasoning took, counted where it is paid for: behind the cache, whether an answer fits its form or not."""

from __future__ import annotations

from llm_workers.protocols import Answer, Answerer, Prompt, Spent

MOST_OWNERS = 10_000


class MeteredAnswerer:
    """Asks ``answerer``, and remembers what each user's questions took until that is taken; of :data:`MOST_OWNERS`
    users, those asked about last: for some nothing ever succeeds.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._spent_on: dict[str, Spent] = {}
        self.spent = Spent()
        """All that the answers took."""

    @property
    def model_id(self) -> str:
        """Of the answerer."""
        return self._answerer.model_id

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`~llm_workers.protocols.LlmError`."""
        answer = await self._answerer.answer(prompt)
        self.spent = _sum(self.spent, answer.spent)
        before = self._spent_on.pop(prompt.owner, Spent())
        self._spent_on[prompt.owner] = _sum(before, answer.spent)
        if len(self._spent_on) > MOST_OWNERS:
            del self._spent_on[next(iter(self._spent_on))]
        return answer

    def take(self, user_id: str) -> Spent:
        """What the user's questions took since it was last taken: attempts that came to nothing are in it too."""
        return self._spent_on.pop(user_id, Spent())


def _sum(one: Spent, other: Spent) -> Spent:
    return Spent(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.seconds + other.seconds,
        one.usd + other.usd,
    )
