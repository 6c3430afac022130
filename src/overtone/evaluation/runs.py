"""What the logs of training runs say, and how they are kept: thinned, with the recipe before them.

A run's ``log.jsonl`` has a line for every fifty steps' losses and for every validation. A kept log
opens with a line that says what was run, at what pace, when and where.
"""

import datetime
import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from overtone.errors import InvalidInputError
from overtone.report.provenance import provenance

LOG = "log.jsonl"
KEPT_LOSSES = 40
# What a validation says, and its decimals. Rows of waveform networks are named spline, after
# the network, and gain; rows of the spectral extender after cutoffs.
FIGURES = {
    "kuleshov_snr_db": ("SNR (Kuleshov) in dB", 2),
    "kuleshov_lsd": ("LSD (Kuleshov)", 2),
    "lsd": ("LSD", 2),
    "lsd_hf": ("LSD above the cutoff", 2),
    "snr": ("SNR in dB", 1),
    "faithful_snr": ("SNR in dB at fidelity 1", 1),
}
# Old logs have these names, and core_seconds for cpu_seconds.
_OLD_FIGURES = {"lineage_snr_db": "kuleshov_snr_db", "lineage_lsd": "kuleshov_lsd"}
_GIVEN = {"lsd": "input_lsd", "snr": "input_snr"}
Scores = Mapping[str, Mapping[str, Any]]
Item = TypeVar("Item")


class Record(BaseModel):
    """A line of a log: the means of some steps' losses, or a validation with its score."""

    model_config = ConfigDict(frozen=True)

    step: int
    seconds: float
    cpu_seconds: float | None = Field(
        default=None, validation_alias=AliasChoices("cpu_seconds", "core_seconds")
    )
    loss: dict[str, float] | None = None
    validation: list[dict[str, float | str]] | None = None
    score: float = -float("inf")

    @field_validator("validation", mode="before")
    @classmethod
    def _rename(cls, rows: Any) -> Any:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return rows
        return [{_OLD_FIGURES.get(key, key): value for key, value in row.items()} for row in rows]


class Header(BaseModel):
    """The first line of a kept log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: dict[str, Any]
    step_seconds: float
    step_cpu_seconds: float | None = Field(
        default=None, validation_alias=AliasChoices("step_cpu_seconds", "step_core_seconds")
    )
    made: dict[str, str]


class Run:
    """A kept log: its name, its header, its validations in order, and which figures they hold."""

    def __init__(self, name: str, header: Header, records: Sequence[Record]) -> None:
        self.name, self.header, self.records = name, header, records
        self.validations = [record for record in records if record.validation]
        self.network = str(header.recipe.get("network"))
        self.on_patches = "gain" in _by_label(self.validations[0])
        first = next(iter(self.found(self.validations[0]).values()))
        self.figures = [name for name in FIGURES if name in first]

    @property
    def best(self) -> Record:
        """The validation of the highest score."""
        return max(self.validations, key=lambda record: record.score)

    def found(self, record: Record) -> Scores:
        """Return the network's figures by label."""
        rows = _by_label(record)
        return {self.network: rows[self.network]} if self.on_patches else rows

    def given(self, record: Record) -> Scores:
        """Return the figures of what the network was given, by the same labels."""
        rows = _by_label(record)
        if self.on_patches:
            return {self.network: rows["spline"]}
        return {
            label: {name: row[known] for name, known in _GIVEN.items() if known in row}
            for label, row in rows.items()
        }


def _by_label(record: Record) -> dict[str, dict[str, Any]]:
    return {str(row.get("label")): row for row in record.validation or []}


def parse(path: Path) -> tuple[list[dict[str, Any]], list[Record]]:
    """Return the headers and the records of a log, without what a resumed run did again."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: no log that can be read ({error})") from error
    headers: list[dict[str, Any]] = []
    records: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            item = json.loads(line)
            if isinstance(item, dict) and "recipe" in item:
                headers.append(item)
                continue
            record = Record.model_validate(item)
        except (json.JSONDecodeError, ValidationError) as error:
            raise InvalidInputError(f"{path}: line {number} is no record of a run") from error
        # A run that was cut goes on from its last checkpoint, a little before its last line.
        while records and records[-1].step > record.step:
            records.pop()
        if records and (records[-1].step, records[-1].loss is None) == (
            record.step,
            record.loss is None,
        ):
            records.pop()
        records.append(record)
    if not any(record.validation for record in records):
        raise InvalidInputError(f"{path}: holds no validation; keep the run when it has had one")
    return headers, records


def read_run(path: Path) -> Run:
    """Return a kept log."""
    headers, records = parse(path)
    try:
        (header,) = headers
        return Run(path.stem, Header.model_validate(header), records)
    except (ValueError, KeyError) as error:
        raise InvalidInputError(
            f"{path}: not a log that `training_page.py keep` wrote; keep the run again"
        ) from error


def pace(records: Sequence[Record], clock: str) -> float | None:
    """Return seconds a step by the named clock: the median, which pauses do not move."""
    times = [(r.step, getattr(r, clock)) for r in records if r.loss is not None]
    known = [(step, time) for step, time in times if time is not None]
    gaps = [(b - a) / (later - step) for (step, a), (later, b) in pairwise(known) if later > step]
    return statistics.median(gaps) if gaps else None


def kept(run: Path) -> str:
    """Return the text of a kept log."""
    log = run / "log.jsonl"
    headers, records = parse(log)
    ended = datetime.datetime.fromtimestamp(log.stat().st_mtime, datetime.UTC).date().isoformat()
    now = provenance()
    made = {"date": ended, "overtone": now["overtone"], "processor": now["processor"]}
    said = headers[-1] if headers else {}
    header = {"recipe": said.get("recipe") or _recipe(run), "made": said.get("made", made)}
    last = records[-1]
    header["step_seconds"] = pace(records, "seconds") or last.seconds / max(1, last.step)
    header["step_cpu_seconds"] = pace(records, "cpu_seconds")
    losses = {record.step for record in thinned([r for r in records if r.loss], KEPT_LOSSES)}
    lines = [json.dumps(_rounded(header))]
    for record in records:
        if record.validation or record.step in losses:
            lines.append(json.dumps(_rounded(record.model_dump(exclude_unset=True))))
    return "\n".join(lines) + "\n"


def _recipe(run: Path) -> Any:
    for name in ("last", "best"):
        path = run / name / "config.json"
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InvalidInputError(f"{path}: damaged ({error})") from error
    raise InvalidInputError(f"{run}: no checkpoint with a recipe; give a folder that train wrote")


def _rounded(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _rounded(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_rounded(value) for value in item]
    return float(f"{item:.6g}") if isinstance(item, float) else item


def thinned(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` of them, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
