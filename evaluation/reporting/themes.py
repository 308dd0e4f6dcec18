"""Colours by role. A picture for the page carries the names of CSS variables, so that it turns dark with the page."""

from __future__ import annotations

from dataclasses import dataclass

LIGHT_SERIES = (
    *("#0b7a4b", "#cf3f58", "#2767b0", "#d07c0e", "#7a4a9e", "#26949a"),
    *("#8a6a3f", "#bb569a", "#64748b", "#8b9618", "#4648a0", "#a8481f"),
)
DARK_SERIES = (
    *("#3ecf8e", "#ff7a8c", "#6ea8f2", "#f5b04a", "#b98ae0", "#5fcfd4"),
    *("#c9a877", "#e890ca", "#9fb0c8", "#c3cf4a", "#9496ef", "#e2875c"),
)
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""Line styles: a further one each time the colours begin anew."""


@dataclass(frozen=True)
class Theme:
    """What each mark of a picture is drawn in."""

    text: str
    muted: str
    grid: str
    paper: str
    series: tuple[str, ...]


LIGHT = Theme("#1c2420", "#5c6862", "#dfe5e1", "#ffffff", LIGHT_SERIES)
DARK = Theme("#e6ece8", "#9aa8a1", "#2b3631", "#111714", DARK_SERIES)

# Colours that no picture would use otherwise; `as_variables` puts the variables in their place.
MARKED = Theme("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", tuple(f"#0a0c{place:02x}" for place in range(12)))


def as_variables(svg: str) -> str:
    """A picture drawn in :data:`MARKED`, with `var(--…)` for each colour."""
    for name in ("text", "muted", "grid", "paper"):
        svg = svg.replace(getattr(MARKED, name), f"var(--{name})")
    for place, colour in enumerate(MARKED.series):
        svg = svg.replace(colour, f"var(--series-{place})")
    return svg


def css(theme: Theme) -> str:
    """The declarations that give the variables of a page this theme's colours."""
    named = [f"--{name}:{getattr(theme, name)}" for name in ("text", "muted", "grid", "paper")]
    return ";".join(named + [f"--series-{place}:{colour}" for place, colour in enumerate(theme.series)])
