"""The made parts of docs/reference/metrics.md: settings of all metrics, and the check on clips.

    python tools/metrics_page.py --into docs/reference/metrics.md
    python tools/metrics_page.py --into docs/reference/metrics.md --bench BENCH

BENCH holds the clips that AudioUNet and NU-Wave published, as ``SET/CLIP/{reference,SYSTEM}.flac``;
without it the check stays as it is. Without ``--into`` the made parts are printed.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

from overtone.cli.options import in_options
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation.pairs import pair_files, score_pairs
from overtone.files import write_text
from overtone.metrics import METRICS
from overtone.report import Cell, Column, Table
from overtone.report.pages import around, made_by, renewed
from overtone.report.provenance import provenance

COMMAND = "python tools/metrics_page.py --into docs/reference/metrics.md"
SETTINGS = (
    "<!-- settings made by tools/metrics_page.py; what stands before the end mark is replaced -->",
    "<!-- end of the settings made by tools/metrics_page.py -->",
)
CHECK = (
    "<!-- check made by tools/metrics_page.py; what stands before the end mark is replaced -->",
    "<!-- end of the check made by tools/metrics_page.py -->",
)
# What to call the outputs, the clips they are of, and the system.
OUTPUTS = (
    ("AudioUNet, single speaker", "kuleshov-x4/sp1-*", "audiounet"),
    ("AudioUNet, many speakers", "kuleshov-x4/msp-*", "audiounet"),
    ("AudioUNet, piano", "kuleshov-x4/piano-*", "audiounet"),
    ("NU-Wave, 24 to 48 kHz, many speakers", "nuwave/multi_x2/*", "nuwave"),
    ("NU-Wave, 24 to 48 kHz, single speaker", "nuwave/single_x2/*", "nuwave"),
    ("NU-Wave, 16 to 48 kHz, many speakers", "nuwave/multi_x3/*", "nuwave"),
    ("NU-Wave, 16 to 48 kHz, single speaker", "nuwave/single_x3/*", "nuwave"),
)
CHECKED = ("lsd", "kuleshov_lsd", "snr_db", "visqol_mos")


def settings_part() -> str:
    """Name, unit, direction and settings of every metric."""
    columns = [Column(name, name) for name in ("metric", "unit", "better", "settings")]
    rows: list[dict[str, Cell]] = [
        {
            "metric": metric.name,
            "unit": metric.unit,
            "better": "higher" if metric.higher_is_better else "lower",
            "settings": metric.settings,
        }
        for metric in METRICS.values()
    ]
    text = Table(columns, rows).render("markdown").replace("---:", "---")  # words, not numbers
    facts = {name: provenance()[name] for name in ("date", "overtone")}
    return made_by(COMMAND, facts) + "\n" + text


def check_part(bench: Path) -> str:
    """Scores of other systems' published outputs, and the command that scores each of them."""
    rows: list[dict[str, Cell]] = []
    commands = []
    for name, clips, system in OUTPUTS:
        patterns = f"{bench}/{clips}/reference.flac", f"{bench}/{clips}/{system}.flac"
        pairs, problems = pair_files(*patterns)
        print(f"{name}: {len(pairs)} clips", file=sys.stderr)
        table = score_pairs(pairs, problems, perceptual=True)
        if problems or table is None:
            raise InvalidInputError("; ".join(problems) or f"{patterns[0]}: no clips there")
        means = table.summary or table.rows[0]
        rows.append({"outputs": name, "files": len(pairs), **{key: means[key] for key in CHECKED}})
        shown = " ".join(f"'BENCH/{clips}/{stem}.flac'" for stem in ("reference", system))
        commands.append(f"$ overtone evaluate {shown} -p\n")
    columns = [Column("outputs", "outputs"), Column("files", "files")]
    columns += [Column(key, METRICS[key].label) for key in CHECKED]
    facts = provenance()
    facts["visqol-python"] = version("visqol-python")
    return "\n".join(
        [
            made_by(f"{COMMAND} --bench BENCH", facts),
            Table(columns, rows).render("markdown"),
            "Row by row:\n",
            "```console\n" + "".join(commands) + "```\n",
        ]
    )


def main() -> None:
    """Make, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="renew the parts there")
    parser.add_argument(
        "--bench", type=Path, metavar="BENCH", help="published clips, for the check"
    )
    options = parser.parse_args()
    if options.into is not None:
        for marks in (SETTINGS, CHECK):
            around(options.into, *marks)  # before the work, not after it
    parts = [(SETTINGS, settings_part())]
    if options.bench is not None:
        parts.append((CHECK, check_part(options.bench)))
    for marks, made in parts:
        if options.into is None:
            print(made)
        else:
            write_text(renewed(options.into, *marks, made), options.into, overwrite=True)


if __name__ == "__main__":
    try:
        main()
    except OvertoneError as error:
        sys.exit(f"metrics_page: {in_options(str(error))}")
