"""The command line: sentences such as `evergraph publish log.parquet`, one module per verb.

Verbs import what they need when they run, so that `evergraph --help` is instant and does not load torch. A
mistake in what a user gave prints one line that names the input, the rule and the fix, and ends with code 2;
anything else is a fault of ours and shows its traceback.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from typing import Annotated

import typer

# In the order of the help page: what a newcomer tries first comes first.
COMMANDS = (
    *("demo", "up", "worker", "publish", "consume", "recommend", "explain", "replay", "evaluate", "ablate"),
    *("validate", "data", "topics", "llm"),
)
ROOMS = ("dyngraph", "models", "llm_workers", "evaluation", "streams", "evergraph")

USER_ERROR = 2

OF_A_PATH = frozenset(
    (
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.EBUSY, errno.EXDEV, errno.EINVAL, errno.EIO),
    )
)
"""What can be wrong with a path, where an error names one."""
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""Writing tells it without the path."""

app = typer.Typer(
    name="evergraph",
    help="Recommendations that stay fresh as the graph evolves: interactions in from Kafka, fresh lists out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from evergraph.version import __version__

        typer.echo(f"evergraph {__version__}")
        raise typer.Exit


@app.callback()
def _evergraph(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    pass


def _register_all() -> None:
    for name in COMMANDS:
        importlib.import_module(f"{__name__}.{name}").register(app)


_register_all()


def main() -> None:
    """The console command."""
    # Before torch and numpy are imported: two threads on a busy machine were measured 30 times slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; without this, Python complains again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("EVERGRAPH_DEBUG") or not is_user_error(error):
            raise
        typer.echo(f"error: {one_line(error)}", err=True)
        sys.exit(USER_ERROR)


def is_user_error(error: BaseException) -> bool:
    """Whether an error tells of bad input: a class of ours, a path that is of no use, or a ValueError of our rooms."""
    if type(error).__module__.partition(".")[0] in ROOMS:
        return True
    if isinstance(error, OSError):
        return error.errno in NO_ROOM or (error.filename is not None and error.errno in OF_A_PATH)
    if not isinstance(error, ValueError):
        return False
    # A ValueError out of a library is a fault of ours, however much it looks like an answer.
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).partition(".")[0] in ROOMS


def one_line(error: BaseException) -> str:
    """The text of an error without line breaks."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.strerror}: make room where the output goes, or write it to another disk"
    return " ".join(str(error).split()) or type(error).__name__
