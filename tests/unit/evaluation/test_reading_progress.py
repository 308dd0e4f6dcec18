"""Reading shows a bar when it takes long, on a terminal, and never otherwise."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from evaluation.readers.progress import patient_bar


class Screen(io.StringIO):
    """Says when something was first drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def write(self, text: str) -> int:
        if "reading" in text:
            self.drawn.set()
        return super().write(text)


def test_long_work_shows_what_it_does_and_how_far_it_is() -> None:
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=80)
    with patient_bar("reading big.csv", console, patience_s=0.0) as bar:
        assert screen.drawn.wait(10)
        bar.at(3, 4)
        bar.stage("reading [names]")
    assert "reading big.csv" in screen.getvalue()
    assert "reading [names]" in screen.getvalue()


def test_short_work_and_work_without_a_terminal_show_nothing() -> None:
    for is_terminal, patience_s in ((True, 60.0), (False, 0.0)):
        screen = Screen()
        console = Console(file=screen, force_terminal=is_terminal, width=80)
        with patient_bar("reading small.csv", console, patience_s) as bar:
            bar.at(1, 2)
        assert screen.getvalue() == ""


def test_an_error_takes_the_bar_away() -> None:
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=80)
    try:
        with patient_bar("reading bad.csv", console, patience_s=0.0):
            assert screen.drawn.wait(10)
            raise ValueError
    except ValueError:
        pass
    shown, hidden = screen.getvalue().rfind("\x1b[?25h"), screen.getvalue().rfind("\x1b[?25l")
    assert shown > hidden >= 0, "the cursor, hidden while the bar is drawn, is back"
