"""Lists of files, for work on more of them than fit a command line: JSON lines or Parquet.

A manifest has a row for each source, ``{"source": ..., "output": ...}``; ``output`` may be left
out, and other columns are not looked at. Results are rows of the same kinds of file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overtone.errors import InvalidInputError, MissingExtraError
from overtone.files import atomic_write, reason

JSON_LINES, PARQUET = ".jsonl", ".parquet"


def read_manifest(path: str | Path) -> dict[str, str | None]:
    """Return the output of each source, or None where the row names none.

    Raises:
        InvalidInputError: the file cannot be read, or has a bad row, which is named.
        MissingExtraError: Parquet needs pyarrow.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "files.jsonl")
        ...     _ = file.write_text('{"source": "a.wav", "output": "wide/a.flac"}')
        ...     read_manifest(file)
        {'a.wav': 'wide/a.flac'}
    """
    path = Path(path)
    outputs: dict[str, str | None] = {}
    for number, row in enumerate(_rows(path, ("source", "output")), 1):
        source, output = row.get("source"), row.get("output")
        if not isinstance(source, str) or not source:
            problem = 'has no "source", the name of a file'
        elif output is not None and (not isinstance(output, str) or not output):
            problem = f'its "output" is {output!r}, not the name of a file'
        elif source in outputs:
            problem = f"{source} is there already"
        else:
            outputs[source] = output
            continue
        raise InvalidInputError(f"{path}: row {number}: {problem}; mend the row or leave it out")
    if not outputs:
        raise InvalidInputError(f"{path}: has no rows")
    return outputs


def _rows(path: Path, columns: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows; of a table with more columns than those asked for, only these."""
    try:
        yield from _parquet(path, columns) if _kind(path) == PARQUET else _json_lines(path)
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({reason(error)})") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error


def _kind(path: Path) -> str:
    if path.suffix.lower() not in (JSON_LINES, PARQUET):
        raise InvalidInputError(
            f"{path}: the name has to end in {JSON_LINES} or {PARQUET}, which says what it holds"
        )
    return path.suffix.lower()


def _json_lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("no object")
            except (ValueError, RecursionError) as error:
                raise InvalidInputError(
                    f'{path}: row {number}: not JSON such as {{"source": "a.wav"}} ({error})'
                ) from error
            yield row


def _parquet(path: Path, columns: Sequence[str]) -> Iterable[dict[str, Any]]:
    with _pyarrow(path):
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                wanted = [name for name in columns if name in file.schema.names]
                for batch in file.iter_batches(columns=wanted or None):
                    yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            raise InvalidInputError(f"{path}: not a whole Parquet file ({error})") from error


@contextmanager
def results(
    path: Path | None, *, overwrite: bool = False, resume: bool = False
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Lend a function that writes a row; the file appears when the block ends well.

    With ``resume`` the rows of a file that is there are kept, each until its source has another: a
    row that says no more than that the output exists gives way to the one of when it was made.

    Raises:
        InvalidInputError: it exists and neither ``overwrite`` nor ``resume`` is on, or its rows
            are not results, or it cannot be written.
        MissingExtraError: Parquet needs pyarrow.
    """
    if path is None:
        yield lambda _: None
        return
    as_parquet = _kind(path) == PARQUET
    if as_parquet:
        with _pyarrow(path):
            import pyarrow.json
            import pyarrow.parquet
    earlier = _earlier(path) if resume and path.exists() else {}
    with atomic_write(path, overwrite=overwrite or resume) as temporary:
        with temporary.open("w", encoding="utf-8") as file:

            def write(row: dict[str, Any]) -> None:
                before = earlier.pop(row["source"], row)
                if row.get("action") == "exists" and not before.get("error"):
                    row = before
                print(json.dumps(row, default=str), file=file, flush=True)

            yield write
            for row in earlier.values():
                print(json.dumps(row, default=str), file=file)
        if as_parquet and temporary.stat().st_size:
            pyarrow.parquet.write_table(pyarrow.json.read_json(temporary), temporary)


def _earlier(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return {row["source"]: row for row in _rows(path)}
    except (KeyError, TypeError) as error:
        raise InvalidInputError(
            f'{path}: no results to add to, as a row has no "source"; give another name'
        ) from error


@contextmanager
def _pyarrow(path: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(f"{path}: Parquet", "cluster") from error
