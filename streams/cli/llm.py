"""`evergraph llm`: prompts out to a batch service, answers back in, and what the answer cache holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streams.cli.options import BadOption, Broker, Config, Prefix, StateDir, broker_of
from streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from llm_workers.batches import Imported
    from llm_workers.cache import AnswerCache
    from llm_workers.config import LlmConfig
    from llm_workers.protocols import ProfileRequest, Prompt
    from llm_workers.reasoning.request import ReasoningRequest
    from streams.llm.rounds import Played

KINDS = ("profile", "reasoning")

Begin = Callable[[int], None]
Advance = Callable[[int], None]

CacheFile = Annotated[
    Path | None,
    typer.Option("--cache", help="The answer cache.", show_default="that of the LLM worker here", dir_okay=False),
]
Model = Annotated[
    str | None, typer.Option(help="The model that answers, as its server calls it.", show_default="llm.model")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    llm = typer.Typer(help="Batches of prompts and answers for the LLM layer, and its cache.", no_args_is_help=True)
    llm.command("export-jobs", help="Write prompts that no cached answer fits, as OpenAI Batch API lines.")(export_jobs)
    llm.command("import-answers", help="Check a batch's answers and keep them in the cache.")(import_answers)
    llm.command("cache", help="Show what the answer cache holds, or forget a user's answers.")(cache)
    app.add_typer(llm, name="llm")


def export_jobs(
    out: Annotated[Path, typer.Option("--out", help="Where the lines go, one a prompt.", dir_okay=False)],
    kind: Annotated[
        str, typer.Option(help="What the answers are for: profile, or reasoning (which takes several rounds).")
    ] = "profile",
    data: Annotated[
        str | None, typer.Option("--data", help="A log file (or `bundled`): what would have been asked for along it.")
    ] = None,
    batch: Annotated[
        int, typer.Option(help="With --data: events of a step, as those of the run to be answered for.")
    ] = 64,
    model: Model = None,
    cache_file: CacheFile = None,
    broker: Broker = None,
    prefix: Prefix = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Put each user's newest job in `llm-jobs` into words, and write what is not answered yet.

    A later question of reasoning depends on earlier answers: export and import again until nobody waits.

    With --data, jobs for profiles come from a replay instead, those of `evergraph ablate dynllm` with the same
    --batch: no prompt holds anything later than its horizon.
    """
    from llm_workers.batches import export_jobs as export

    if kind not in KINDS:
        raise BadOption(f"--kind {kind!r}: use {' or '.join(KINDS)}")
    if kind == "reasoning" and data is not None:
        raise BadOption("--kind reasoning goes by the jobs of a broker; leave --data out")
    settings, llm = _settings(model, cache_file, broker=broker, prefix=prefix, state_dir=state_dir, config=config)
    if not llm.model:
        raise BadOption("no model: give --model NAME, or llm.model in the settings; it is part of every answer's key")
    told, count = "", None
    with _open(llm) as answers, _progress(_unit(kind, data)) as (begin, advance):
        if kind == "reasoning":
            played = _played(settings, llm, answers, begin, advance)
            prompts: Iterable[Prompt] = played.prompts
            told = f"; {played.finished} graphs finished, {played.waiting} users wait" + (
                ": import the answers and export again" if played.waiting else ""
            )
        elif data is None:
            prompts, count = _in_words(_pending(settings, begin)), advance
        else:
            prompts = _in_words(_replayed(data, batch, begin, advance))
        done = export(prompts, out, answers, llm.model, temperature=llm.temperature, progress=count)
    names = ", ".join(str(path) for path in done.files)
    typer.echo(f"{done.written} prompts to {names}; {done.cached} answered already, {done.repeated} repeated{told}")


def import_answers(
    file: Annotated[Path, typer.Argument(help="The output of a batch, JSON lines.", dir_okay=False)],
    cache_file: CacheFile = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Keep each answer that fits its schema; the others are told with their line numbers.

    Answers are kept for the prompts of an export, so the cache must be the one that the export used.
    """
    from llm_workers.batches import import_answers as import_

    _, llm = _settings(None, cache_file, state_dir=state_dir, config=config)
    size = file.stat().st_size
    _must_be_there(llm)
    with _open(llm) as answers, _progress("bytes") as (begin, advance):
        begin(size)
        done = import_(file, answers, progress=advance)
    for problem in done.problems:
        typer.echo(f"{file}: {problem}", err=True)
    typer.echo(
        f"{done.kept} answers kept; {done.known} known already, {done.unknown} unknown, {done.failed} failed at the "
        f"server, {done.bad} unusable"
    )
    if not done.kept + done.known:
        raise BadOption(f"{file}: nothing in it could be used; {_instead(done, llm)}")


def cache(
    forget: Annotated[str | None, typer.Option(help="Erase this user's answers and waiting prompts.")] = None,
    cache_file: CacheFile = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show figures; with --forget erase first."""
    _, llm = _settings(None, cache_file, state_dir=state_dir, config=config)
    if forget == "":
        raise BadOption("--forget '': is no user; give the id of the user whose answers are to be erased")
    _must_be_there(llm)
    with _open(llm) as answers:
        if forget is not None:
            typer.echo(f"{answers.forget_owner(forget)} entries of {forget} erased")
        figures = answers.figures()
    typer.echo(
        f"{llm.cache_path}: {figures['entries']} entries, {figures['bytes'] / 2**20:.1f} of "
        f"{llm.cache_bytes / 2**20:.0f} MiB, {figures['waiting']} prompts wait for an import"
    )


def _settings(model: str | None, cache_file: Path | None, **flags: object) -> tuple[Settings, LlmConfig]:
    """The settings, and of them those of the LLM worker; `config` among the flags is the file."""
    from streams.llm.parts import llm_config

    config = flags.pop("config", None)
    given = {**flags, "llm.model": model, "llm.cache_path": cache_file}
    settings = load_settings(given, config=config if isinstance(config, Path) else None)
    return settings, llm_config(settings)


def _must_be_there(llm: LlmConfig) -> None:
    """Raises `BadOption` where no answer cache has been begun: opening it would."""
    assert llm.cache_path is not None
    if not llm.cache_path.exists():
        raise BadOption(
            f"--cache {llm.cache_path}: there is no such file; an LLM worker or `evergraph llm export-jobs` makes it"
        )
    if not llm.cache_path.stat().st_size:
        raise BadOption(f"--cache {llm.cache_path}: is no answer cache, it is empty; give the one of the export")


def _instead(done: Imported, llm: LlmConfig) -> str:
    """What to do about a file of answers none of which was kept."""
    if done.questions:
        return "it holds the prompts of an export: send it to the batch service and give the file that comes back"
    if done.unknown:
        return f"{llm.cache_path} waits for none of these answers: give the --cache that the export was made with"
    if done.failed:
        return "the server answered nothing: export again, and send that"
    return "give the output file of a batch: a JSON object a line, with custom_id and response"


@contextmanager
def _open(llm: LlmConfig) -> Iterator[AnswerCache]:
    from llm_workers.cache import AnswerCache

    assert llm.cache_path is not None
    llm.cache_path.parent.mkdir(parents=True, exist_ok=True)
    answers = AnswerCache(llm.cache_path, llm.cache_bytes, given=True)
    try:
        yield answers
    finally:
        answers.close()


def _unit(kind: str, data: str | None) -> str:
    """What the bar counts."""
    if data is not None:
        return "events"
    return "users" if kind == "reasoning" else "prompts"


def _in_words(requests: Iterable[ProfileRequest]) -> Iterator[Prompt]:
    from llm_workers.prompts.profile import profile_prompt

    return (prompt for request in requests if (prompt := profile_prompt(request)) is not None)


def _pending(settings: Settings, begin: Begin) -> Iterator[ProfileRequest]:
    from streams.llm.requests import pending_jobs, profile_request_of

    jobs, items = pending_jobs(broker_of(settings), settings, "profile")
    begin(len(jobs))
    return (profile_request_of(job, items) for job in jobs)


def _played(settings: Settings, llm: LlmConfig, answers: AnswerCache, begin: Begin, advance: Advance) -> Played:
    """The next round over the jobs for reasoning, which are told to the bar one by one."""
    from streams.llm.parts import text_encoder
    from streams.llm.requests import item_vectors, pending_jobs, reasoning_request_of
    from streams.llm.rounds import matcher_over, reasoning_round
    from streams.llm.users import said_of_users

    broker = broker_of(settings)
    jobs, items = pending_jobs(broker, settings, "reasoning")
    encoder = text_encoder(llm, answers) if jobs else None
    matcher = None
    if encoder is not None:
        matcher = matcher_over(items, item_vectors(broker, settings, encoder.model_id), encoder)
    said = said_of_users(broker, settings) if jobs else {}
    begin(len(jobs))

    def requests() -> Iterator[ReasoningRequest]:
        for job in jobs:
            yield msgspec.structs.replace(reasoning_request_of(job, items), attributes=said.get(job.entity_id, ()))
            advance(1)

    assert llm.model
    return reasoning_round(requests(), items, matcher, answers, llm.model)


def _replayed(data: str, batch: int, begin: Begin, advance: Advance) -> Iterator[ProfileRequest]:
    from evaluation.coded import coded
    from evaluation.profiles.jobs import jobs_along
    from evaluation.readers import bundled_path, read_log

    log = read_log(bundled_path() if data == "bundled" else Path(data))
    begin(len(log))
    return jobs_along(log, coded(log), batch, advance)


@contextmanager
def _progress(unit: str) -> Iterator[tuple[Begin, Advance]]:
    """A bar at a terminal: what begins it with the total, and what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda total: progress.update(task, total=total), lambda done: progress.advance(task, done)
