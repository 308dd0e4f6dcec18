"""Whether words name a person."""

from __future__ import annotations

import pytest

from llm_workers.reasoning.soundness import names_somebody


@pytest.mark.parametrize(
    ("text", "somebody"),
    [
        ("As user A3SGXH7AUHU8GW did", True),
        ("Liked by A3SGXH7AUHU8GW too", True),
        ("As Customer Maria Lopez did", True),
        ("and so did user u42", True),
        ("user anna_b took it", True),
        ("What the customer needs next", False),
        ("Customers like both", False),
        ("User-friendly headphones WH1000XM4", False),
    ],
)
def test_people_are_told_from_things(text: str, somebody: bool) -> None:
    assert names_somebody(text) == somebody
