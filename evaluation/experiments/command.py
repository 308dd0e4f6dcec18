"""The command that gives the same figures again, as a user would type it."""

from __future__ import annotations

import os
import shlex
from dataclasses import fields
from pathlib import Path

from evaluation.coded import TARGETS
from evaluation.contenders import WITHOUT, contender_names, source_names
from evaluation.experiments.experiment import DYNLLM, SOURCES, Experiment
from evaluation.profiles.rows import default_rows
from evaluation.protocols.plan import Plan


def reproduce(experiment: Experiment) -> str:
    """One line: the verb, the data, and every option that is not its default."""
    verb = {"": ["evaluate"], SOURCES: ["ablate"], DYNLLM: ["ablate", DYNLLM]}[experiment.ablation]
    words = ["evergraph", *verb, portable(experiment.data)]
    words += _contenders(experiment)
    default = Plan()
    for spec in fields(Plan):
        value = getattr(experiment.plan, spec.name)
        if value == getattr(default, spec.name):
            continue
        words.append(f"--{spec.name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    if experiment.targets != TARGETS:
        words += ["--targets", ",".join(target.label for target in experiment.targets)]
    if experiment.rating_threshold is not None:
        words += ["--rating-threshold", f"{experiment.rating_threshold:g}"]
    for option, value in (("--limit", experiment.limit), ("--trials", experiment.trials)):
        words += [option, str(value)] if value is not None else []
    if (answers := experiment.answers) is not None:
        words += ["--answers", portable(str(answers.path)), "--model", answers.model]
    words += ["--batch", str(experiment.batch)] if experiment.batch != Experiment.batch else []
    words += ["--window", str(experiment.window)] if experiment.window != Experiment.window else []
    for option, text in experiment.reading:
        words += [option, text] if text else [option]
    # A variable in the path is for the shell to fill in, so that word stays bare.
    return " ".join(word if word.startswith("$EVERGRAPH_DATA/") else shlex.quote(word) for word in words)


def portable(data: str) -> str:
    """A path that names no place of this machine: below `EVERGRAPH_DATA`, relative, or the bare name."""
    path = Path(data)
    if not path.is_absolute():
        return data
    if (root := os.environ.get("EVERGRAPH_DATA")) and path.is_relative_to(root):
        return f"$EVERGRAPH_DATA/{shlex.quote(path.relative_to(root).as_posix())}"
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def _contenders(experiment: Experiment) -> list[str]:
    if not experiment.ablation:
        every = tuple(contender_names())
        return ["--models", ",".join(experiment.contenders)] if experiment.contenders != every else []
    if experiment.ablation == DYNLLM:
        return ["--rows", "|".join(experiment.contenders)] if list(experiment.contenders) != default_rows() else []
    sources = [name.removeprefix(WITHOUT) for name in experiment.contenders[1:]]
    return ["--sources", ",".join(sources)] if sources != source_names() else []
