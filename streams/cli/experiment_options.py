"""The options that `evaluate` and `ablate` share, declared once, and how they become an experiment."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from streams.cli.options import AssumeSorted, BadOption, DropDuplicates, Encoding, Json, Map, Tz, mapping

if TYPE_CHECKING:
    from dyngraph.events import EventType
    from evaluation.experiments.experiment import Experiment
    from evaluation.profiles.makers import Recorded
    from evaluation.protocols import Plan
    from evaluation.readers import InteractionLog

PROTOCOL, DATA, OUTPUT = "Protocol", "Data", "Output"
PLANNED = (
    *("protocol", "k", "seed", "mask_seen", "cold_item_events", "only", "sample", "leave_out_group", "warmup"),
    *("freeze", "shuffle_ties", "negatives"),
)
"""Options that are the fields of a plan."""

Data = Annotated[
    str,
    typer.Argument(help="A log file or folder (see `evergraph validate`), or `bundled` for the data in the package."),
]


def _protocol(help_text: str, *, flag: str | None = None, **further: Any) -> Any:
    return typer.Option(*([flag] if flag else []), help=help_text, rich_help_panel=PROTOCOL, **further)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of both verbs, as the command line gives them."""

    protocol: Annotated[
        str,
        _protocol("prequential, time-split, leave-one-out or leave-one-out-sampled.", metavar="NAME"),
    ] = "prequential"
    targets: Annotated[
        str | None,
        _protocol(
            "What counts as a hit, separated by commas.",
            metavar="TYPES",
            show_default="view,click,cart,purchase,rating,like",
        ),
    ] = None
    rating_threshold: Annotated[float | None, _protocol("Least rating that counts as a hit.", metavar="X")] = None
    warmup: Annotated[float, _protocol("Share of the events that is learned before the first is counted.")] = 0.5
    mask_seen: Annotated[bool, _protocol("Take items a user has met out of the candidates.", flag="--mask-seen")] = (
        False
    )
    only: Annotated[str, _protocol("all, or first-time: events whose user had not met the item.", metavar="KIND")] = (
        "all"
    )
    leave_out_group: Annotated[
        bool,
        _protocol(
            "Take the other true items of the same user and moment out of the candidates.", flag="--leave-out-group"
        ),
    ] = False
    sample: Annotated[int | None, _protocol("Count this many events only, drawn by the seed.", metavar="N")] = None
    k: Annotated[int, _protocol("Length of the lists.")] = 10
    cold_item_events: Annotated[int, _protocol("An item with fewer events before is cold.")] = 5
    freeze: Annotated[bool, _protocol("time-split: learn nothing after the first 70 %.", flag="--freeze")] = False
    shuffle_ties: Annotated[
        bool, _protocol("leave-one-out: shuffle a user's events of one moment first.", flag="--shuffle-ties")
    ] = False
    negatives: Annotated[int, _protocol("leave-one-out-sampled: items drawn beside the true one.")] = 99
    trials: Annotated[
        int | None,
        _protocol(
            "Tune each baseline on events before the counted ones, trying this many settings.",
            metavar="N",
            show_default="stated defaults",
        ),
    ] = None
    batch: Annotated[int, _protocol("Events of one step of evergraph: fewer, and it learns sooner but slower.")] = 64
    seed: Annotated[int, _protocol("Of weights, negatives and samples.")] = 0
    limit: Annotated[int | None, typer.Option(help="The first N events only.", metavar="N", rich_help_panel=DATA)] = (
        None
    )
    map_: Map = None
    tz: Tz = None
    encoding: Encoding = None
    assume_sorted: AssumeSorted = False
    drop_duplicates: DropDuplicates = False
    window: Annotated[int, typer.Option(help="Events under the rolling figures.", rich_help_panel=OUTPUT)] = 5_000
    json: Json = None
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write report.html, pictures and results.json here.", file_okay=False, rich_help_panel=OUTPUT
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep each model's outcome here, where the same command finds it again.",
            show_default="the report's folder, else out/evaluate/NAME",
            file_okay=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run every model again, also where it is kept.", rich_help_panel=OUTPUT)
    ] = False


def with_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with its parameter ``options`` replaced by one command-line option per field of :class:`Options`."""

    def command(**given: Any) -> None:
        shared = {spec.name: given.pop(spec.name) for spec in fields(Options)}
        verb(**given, options=Options(**shared))

    own = inspect.signature(verb, eval_str=True)
    hints = get_type_hints(Options, include_extras=True)
    parameters = [parameter for name, parameter in own.parameters.items() if name != "options"]
    parameters += [
        inspect.Parameter(spec.name, inspect.Parameter.KEYWORD_ONLY, default=spec.default, annotation=hints[spec.name])
        for spec in fields(Options)
    ]
    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def experiment(
    data: str,
    contenders: tuple[str, ...],
    options: Options,
    *,
    ablation: str = "",
    answers: Recorded | None = None,
) -> Experiment:
    """What the options ask for. Raises ValueError for a value that breaks its rule."""
    from evaluation.experiments.experiment import Experiment

    for name in ("limit", "trials", "batch", "window"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BadOption(f"--{name} {value}: use 1 or more")
    return Experiment(
        data=data,
        contenders=contenders,
        plan=_plan(options),
        targets=_targets(options.targets),
        rating_threshold=options.rating_threshold,
        limit=options.limit,
        window=options.window,
        trials=options.trials,
        batch=options.batch,
        ablation=ablation,
        answers=answers,
        reading=_reading(options),
    )


def read(data: str, options: Options) -> InteractionLog:
    """The log that is named. Raises DataFileError."""
    from evaluation.readers import bundled_path, read_log

    log = read_log(
        bundled_path() if data == "bundled" else Path(data),
        mapping=mapping(options.map_),
        tz=options.tz,
        encoding=options.encoding,
        assume_sorted=options.assume_sorted,
        drop_duplicates=options.drop_duplicates,
    )
    return log.head(options.limit) if options.limit else log


def split_names(names: str | None, option: str) -> tuple[str, ...]:
    """`"a, b"` as names; an option that is not given is none. Raises `BadOption` for one that names nothing."""
    if names is None:
        return ()
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not found:
        raise BadOption(f"{option} {names!r}: names nothing; give names separated by commas, or leave it out")
    return found


def _reading(options: Options) -> tuple[tuple[str, str], ...]:
    """The options that say how the file is read, as a command names them; a flag has no text."""
    given = [("--map", pair) for pair in options.map_ or ()]
    given += [(name, text) for name, text in (("--tz", options.tz), ("--encoding", options.encoding)) if text]
    flags = (("--assume-sorted", options.assume_sorted), ("--drop-duplicates", options.drop_duplicates))
    return tuple(given + [(name, "") for name, there in flags if there])


def _plan(options: Options) -> Plan:
    from evaluation.protocols import Plan

    plan = Plan(**{name: getattr(options, name) for name in PLANNED})
    read_by_it, default = plan.settings(), Plan()
    for name in PLANNED:
        if name not in read_by_it and getattr(plan, name) != getattr(default, name):
            raise BadOption(f"--{name.replace('_', '-')} means nothing to --protocol {plan.protocol}; leave it out")
    return plan


def _targets(names: str | None) -> tuple[EventType, ...]:
    from dyngraph.events import EventType
    from evaluation.coded import TARGETS

    named = {EventType.of(name) for name in split_names(names, "--targets")}
    if wrong := sorted(named - set(TARGETS)):
        known = ", ".join(target.label for target in TARGETS)
        raise BadOption(f"--targets {wrong[0].label}: is never a hit; use some of: {known}")
    return tuple(sorted(named)) or TARGETS
