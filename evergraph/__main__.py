"""`python -m evergraph` and the console command `evergraph`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from streams.cli import main as run

    run()


if __name__ == "__main__":
    main()
