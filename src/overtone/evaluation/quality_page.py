"""A comparison as pages: Markdown, and one HTML file with pictures and sounds inside."""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from overtone.audio.files import AudioWriter
from overtone.dsp.resample import resample
from overtone.errors import InvalidInputError, MissingExtraError
from overtone.evaluation.quality import Comparison, Example
from overtone.evaluation.quality_tables import (
    MEANS,
    Row,
    as_json,
    case_table,
    sections,
    settings,
    timings,
)
from overtone.files import refuse_existing, write_text
from overtone.metrics import describe
from overtone.report.pictures import plot_spectrograms
from overtone.report.sections import around, join, made_by
from overtone.report.tables import Column, Table

CASES, RESULTS, SUMMARY, REPORT, TIMINGS = (
    "cases.csv",
    "results.json",
    "summary.md",
    "report.html",
    "timings.json",
)
FILES = (CASES, RESULTS, SUMMARY, REPORT, TIMINGS)
BEGIN = "<!-- made by overtone benchmark quality; what stands before the end mark is replaced -->"
END = "<!-- end of what overtone benchmark quality made -->"
TITLE = "Systems side by side"
# A page that holds its sounds has to stay small enough to be opened.
EXCERPT_S = 5.0
PICTURE_DOTS_PER_INCH = 70


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise :class:`~overtone.errors.InvalidInputError` unless results may be written there."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder}: a file; -o names a folder for the results")
    for name in FILES:
        refuse_existing(folder / name, overwrite)


def write_folder(
    comparison: Comparison, rows: Sequence[Row], versus: str, folder: Path, *, overwrite: bool
) -> list[Path]:
    """Write :data:`FILES`; all but the timings are the same bytes for the same input.

    Returns the files written.
    """
    check_folder(folder, overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{folder}: cannot be made ({error.strerror})") from error
    summary = f"# {TITLE}\n\n" + markdown(comparison, rows, versus)
    texts = {
        CASES: case_table(comparison).render("csv"),
        RESULTS: as_json(comparison, rows, versus),
        SUMMARY: summary,
        REPORT: page(comparison, rows, versus),
        TIMINGS: timings(comparison, rows),
    }
    for name, text in texts.items():
        write_text(text, folder / name, overwrite=overwrite)
    return [folder / name for name in texts]


def markdown(
    comparison: Comparison, rows: Sequence[Row], versus: str, *, with_cost: bool = False
) -> str:
    """Tables of every set, the systems' identities, the settings."""
    parts = []
    for heading, tables in sections(rows, versus, with_cost=with_cost):
        parts.append(f"### {heading}\n")
        parts += [table.render("markdown") for table in tables]
    parts += ["### Systems\n", _identities(comparison).render("markdown"), "### Settings\n"]
    parts.append("".join(f"- {line}\n" for line in settings(comparison, versus)))
    if comparison.problems:
        parts += ["### Left out\n", "".join(f"- {line}\n" for line in comparison.problems)]
    return "\n".join(parts)


def update_page(
    comparison: Comparison,
    rows: Sequence[Row],
    versus: str,
    path: Path,
    command: str,
    *,
    overwrite: bool,
) -> None:
    """Write the generated part of a Markdown page, with day, commit and machine.

    What stands outside the marks of a page that exists is kept; a new page gets a title.

    Raises:
        InvalidInputError: the page exists and may not be changed, or has no marks.
    """
    before, after = page_around(path, overwrite)
    made = made_by(command) + "\n" + markdown(comparison, rows, versus, with_cost=True)
    write_text(join(before, made, after), path, overwrite=overwrite)


def page_around(path: Path, overwrite: bool) -> tuple[str, str]:
    """The page ``path`` up to its first mark and from its second on. Raises as above."""
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path}: the folder {path.parent} does not exist; create it")
    if not path.exists():
        return f"# {TITLE}\n\n{BEGIN}", f"{END}\n"
    return around(path, BEGIN, END)


def page(comparison: Comparison, rows: Sequence[Row], versus: str) -> str:
    """One HTML file that needs no other: tables, spectrograms, players, settings."""
    models = {name for name, (kind, _) in comparison.systems.items() if kind == "model"}
    parts = [_list(comparison.problems, "problem")] if comparison.problems else []
    for heading, tables in sections(rows, versus, with_cost=False):
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts += [_html_table(table, models) for table in tables]
    if comparison.examples:
        parts.append("<h2>Seen and heard</h2>")
        parts.append(
            f"<p>At most the first {EXCERPT_S:g} s. The dashed line is half the low side's rate."
            " All players of a clip have one gain.</p>"
        )
    parts += [_example(one, comparison, models) for one in comparison.examples]
    parts += ["<h2>Systems</h2>", _html_table(_identities(comparison), models)]
    parts += ["<h2>Settings</h2>", _list(settings(comparison, versus))]
    template = (resources.files("overtone.evaluation") / "quality.html").read_text("utf-8")
    return Template(template).substitute(title=TITLE, content="\n".join(parts))


def _identities(comparison: Comparison) -> Table:
    columns = [Column("system", "system"), Column("kind", "kind"), Column("identity", "identity")]
    return Table(
        columns,
        [
            {
                "system": name,
                "kind": kind,
                "identity": f"SHA-256 {identity}" if kind == "model" else identity,
            }
            for name, (kind, identity) in comparison.systems.items()
        ],
    )


def _html_table(table: Table, models: set[str]) -> str:
    head = "".join(f"<th>{html.escape(column.label)}</th>" for column in table.columns)
    lines = []
    for row in table.rows:
        texts = [column.text(row.get(column.key)) for column in table.columns]
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
        lines.append(f"<tr{' class=model' if texts[0] in models else ''}>{cells}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"


def _list(lines: Iterable[str], kind: str = "") -> str:
    items = "".join(f"<li>{html.escape(line)}</li>\n" for line in lines)
    return f'<ul class="{kind}">\n{items}</ul>'


def _example(example: Example, comparison: Comparison, models: set[str]) -> str:
    """A clip: one picture of all its spectrograms, and a row with a player for each."""
    sounds = [(name, x[:, : round(EXCERPT_S * rate)], rate) for name, x, rate in example.sounds]
    scores = {
        score.system: score.scores
        for score in comparison.scores
        if (score.group, score.case) == (example.group, example.case)
    }
    peak = max(float(np.max(np.abs(x), initial=0)) for _, x, _ in sounds)
    gain = np.float32(min(1.0, 0.99 / peak)) if peak else np.float32(1)
    title = html.escape(f"{example.group}/{example.case}")
    with tempfile.TemporaryDirectory(prefix="overtone-quality-") as folder:
        parts = [f"<h3>{title}</h3>", _picture(sounds, example.cutoff_hz, Path(folder), title)]
        heads = "".join(f"<th>{html.escape(describe(name).label)}</th>" for name in MEANS)
        parts.append(f'<div class="wide"><table><tr><th></th><th></th>{heads}</tr>')
        rate = sounds[0][2]
        for name, samples, own_rate in sounds:
            player = _player(resample(samples, own_rate, rate) * gain, rate, Path(folder))
            cells = "".join(_score_cell(scores.get(name), metric) for metric in MEANS)
            kind = " class=model" if name in models else ""
            parts.append(f"<tr{kind}><td>{html.escape(name)}</td><td>{player}</td>{cells}</tr>")
    return "\n".join([*parts, "</table></div>"])


def _score_cell(scores: dict[str, float] | None, name: str) -> str:
    text = "" if scores is None else Column(name, "", describe(name).decimals).text(scores[name])
    return f"<td>{text}</td>"


def _picture(
    sounds: Sequence[tuple[str, np.ndarray, int]], cutoff_hz: float, folder: Path, title: str
) -> str:
    path = folder / "spectrograms.png"
    try:
        plot_spectrograms(
            sounds, path, cutoff_hz=cutoff_hz, dots_per_inch=PICTURE_DOTS_PER_INCH, overwrite=True
        )
    except MissingExtraError as error:
        return f"<p>{html.escape(str(error))}</p>"
    return f'<img alt="spectrograms of {title}" src="data:image/png;base64,{_base64(path)}">'


def _player(samples: np.ndarray, rate: int, folder: Path) -> str:
    path = folder / "sound.flac"
    with AudioWriter(path, rate, len(samples), subtype="PCM_16", overwrite=True) as writer:
        writer.write(samples)
    return f'<audio controls preload="none" src="data:audio/flac;base64,{_base64(path)}"></audio>'


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
