"""`evergraph replay FILE`: the same engine without Kafka, over a log in time order, with figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streams.cli.options import BadOption, Config, Encoding, Json, Map, Tz, mapping, write_json
from streams.settings import llm_layer, load_settings

if TYPE_CHECKING:
    from evaluation.prequential import ReplayReport


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("replay", help="Replay a log in time order: rank every event before learning from it.")(replay)


def replay(
    file: Annotated[
        str, typer.Argument(help="A log file or folder as for `publish`, or `bundled` for the data in the package.")
    ],
    batch: Annotated[int, typer.Option(min=1, help="Most events in one step.")] = 256,
    warmup: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the log that is not counted.")] = 0.5,
    mask_seen: Annotated[
        bool, typer.Option("--mask-seen", help="Take items a user has met out of every model's ranking.")
    ] = False,
    half_life: Annotated[float, typer.Option(help="Of decayed popularity, in days.")] = 7.0,
    without: Annotated[list[str] | None, typer.Option(help="Leave out a candidate source (may be repeated).")] = None,
    learn: Annotated[bool, typer.Option("--learn/--no-learn", help="Learn on line.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay the first N events only.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights and negatives.")] = 0,
    snapshot: Annotated[
        Path | None, typer.Option(help="Write the final state here; `worker --state-dir` can start from it.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Take the steps that a worker with this --state-dir took, from its first.")
    ] = None,
    profiles: Annotated[
        bool | None,
        typer.Option(
            "--llm/--no-llm",
            help="As the worker that wrote the journal, or will start from the snapshot.",
            show_default="as a worker's, with --journal or --snapshot",
        ),
    ] = None,
    config: Config = None,
    map_: Map = None,
    tz: Tz = None,
    encoding: Encoding = None,
    json: Json = None,
) -> None:
    """Read, replay, report."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from evaluation.prequential import Prequential
    from evaluation.readers import bundled_path, read_log
    from evaluation.replaying import ReplayConfig, replaying
    from streams.system import refresh_of, system_config

    if half_life <= 0:
        raise BadOption(f"--half-life {half_life:g}: not above 0 days")
    log = read_log(bundled_path() if file == "bundled" else Path(file), mapping=mapping(map_), tz=tz, encoding=encoding)
    log = log.head(limit) if limit else log
    console = Console(stderr=True)
    for note in log.notes:
        console.print(note, style="dim", markup=False)
    # What is for a worker, or of one, must be made of the same models; a mere replay has no profiles to use them on.
    with_profiles = profiles if profiles is not None else bool(journal or snapshot)
    settings = load_settings({**llm_layer(with_profiles), "seed": seed}, config=config)
    system = msgspec.structs.replace(
        system_config(settings),
        popularity_half_life=half_life,
        mask_seen=mask_seen,
        without=tuple(without or ()),
    )
    refresh = refresh_of(settings)
    plan = ReplayConfig(batch=batch, learn=learn, snapshot=snapshot, journal=journal)
    columns = (
        TextColumn("replaying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with replaying(log, plan, system, refresh) as run, Progress(*columns, console=console, transient=True) as progress:
        prequential = Prequential(log, run.step, warmup=warmup)
        task = progress.add_task("", total=len(log))
        for done in prequential.run(run.borders()):
            progress.update(task, completed=done, description=_lately(prequential.rolling.figures()))
        report = prequential.report(
            {
                "name": "prequential",
                "steps": "journal" if journal else "whole baskets",
                "batch": batch,
                "warmup": warmup,
                "mask_seen": mask_seen,
                "ties": "middle rank; lines of one (user, time) are ranked before any is learned",
                "candidates": "all items seen so far",
                "half_life_days": half_life,
                "learn": learn,
                "seed": seed,
            },
            digest=run.shard.digest(),
        )
    console.file.flush()
    _print(report)
    if json is not None:
        write_json(json, report)


def _lately(figures: dict[str, dict[str, float]]) -> str:
    shown = ((name, figures[name]["hr@10"]) for name in ("evergraph", "decayed_popularity") if name in figures)
    return "  ".join(f"{name} HR@10 {value:.3f}" for name, value in shown)


def _print(report: ReplayReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report.data}: {report.evaluated:,} of {report.events:,} events counted", title_style="bold")
    table.add_column("model", no_wrap=True)
    for column in ("HR@10", "NDCG@10", "95 % over users", "MRR", "first-time"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, line in report.models.items():
        table.add_row(
            name,
            f"{line.hr:.4f}",
            f"{line.ndcg:.4f}",
            f"{line.ndcg_low:.4f}-{line.ndcg_high:.4f}",
            f"{line.mrr:.4f}",
            f"{line.first_time_ndcg:.4f}",
        )
    console = Console()
    console.print(table)
    console.print("first-time: NDCG@10 where the user had not met the item before", style="dim")
    console.print(
        f"{report.events:,} events in {report.seconds:.1f} s ({report.events_per_s:,.0f} events/s); "
        f"state {report.digest}"
    )
    for reason, count in report.dropped.items():
        console.print(f"left out: {count:,} {reason}", style="dim")
