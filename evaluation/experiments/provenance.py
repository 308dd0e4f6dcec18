"""Where a figure came from: versions, machine and revision for the reader, digests for taking results again."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from evaluation.coded import CodedLog
from evaluation.readers.log import InteractionLog

PACKAGES = ("evergraph", "torch", "numpy", "polars", "numba", "river", "torch-geometric", "torch-geometric-temporal")
ROOT = Path(__file__).parents[2]
"""The folder that holds the rooms."""

ROOMS = ("dyngraph", "models", "llm_workers", "evaluation")
GIT_TIMEOUT_S = 10


def versions() -> dict[str, str]:
    """Python and what figures depend on, plus the git revision where the code is a checkout."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    revision = git_revision()
    return found | ({"git revision": revision} if revision else {})


def machine() -> dict[str, str]:
    """Cores, memory and system; nothing that names the machine or a path on it."""
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    }
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        facts["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    return {name: fact for name, fact in facts.items() if fact}


def git_revision() -> str | None:
    """The short revision of the checkout this code runs from, with `, changed since` where files differ from it."""
    here = Path(__file__).parent
    try:
        # Installed into somebody else's repository, this file is unknown to git, and that revision would say nothing.
        _git(here, "ls-files", "--error-unmatch", "../readers/log.py")
        revision = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", ":/")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{revision}, changed since" if changed else revision


def log_digest(log: InteractionLog, coded: CodedLog) -> str:
    """Sixteen hex digits of everything a contender is handed: the coded log, event types, values and the catalogue."""
    digest = hashlib.blake2b(coded.digest.encode(), digest_size=8)
    frame = log.frame[coded.order]
    digest.update(frame["event_type"].to_numpy().tobytes())
    digest.update(frame["value"].to_numpy().tobytes())
    digest.update(msgspec.json.encode(log.items))
    return digest.hexdigest()


def code_digest(modules: Iterable[str]) -> str:
    """Sixteen hex digits of the code of ``modules`` and of all modules of ours that they import.

    Comments, docstrings and layout do not count, so that better words cost no new run. Python and numpy, torch and
    numba do, because another version may round otherwise.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, tree in sorted(_closure(modules).items()):
        digest.update(name.encode())
        digest.update(ast.dump(_without_docstrings(tree)).encode())
    known = versions()
    digest.update(repr([known.get(name) for name in ("python", "numpy", "torch", "numba")]).encode())
    return digest.hexdigest()


def _closure(modules: Iterable[str]) -> dict[str, ast.Module]:
    """Module name to syntax tree, over all imports within our rooms."""
    trees: dict[str, ast.Module] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in trees or (source := _source(name)) is None:
            continue
        trees[name] = ast.parse(source.read_text("utf-8"))
        waiting.extend(_imports(trees[name]))
    return trees


def _source(module: str) -> Path | None:
    """The file of a module of ours; None for others and for names that are no module."""
    if module.partition(".")[0] not in ROOMS:
        return None
    stem = ROOT.joinpath(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    # A bare string is no more than a comment; also attribute docstrings go this way.
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return tree


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_TIMEOUT_S).stdout.strip()
