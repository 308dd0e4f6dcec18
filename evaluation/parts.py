"""What an engine can be evaluated with besides its usual sources."""

from __future__ import annotations

from typing import Literal

Part = Literal["profiles", "relations", "chains"]
