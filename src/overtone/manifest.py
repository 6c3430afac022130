"""Lists of files, for work on more of them than fit a command line: JSON lines or Parquet.

A manifest has a row for each source, ``{"source": ..., "output": ...}``; ``output`` may be left
out, and other columns are not looked at. Results are rows of the same kinds of file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
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
    for number, row in enumerate(_rows(path), 1):
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


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    read = {JSON_LINES: _json_lines, PARQUET: _parquet}.get(_kind(path))
    assert read is not None  # _kind raises
    try:
        yield from read(path)
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


def _parquet(path: Path) -> Iterable[dict[str, Any]]:
    with _pyarrow(path):
        import pyarrow
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                columns = [name for name in ("source", "output") if name in file.schema.names]
                for batch in file.iter_batches(columns=columns):
                    yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            raise InvalidInputError(f"{path}: not a whole Parquet file ({error})") from error


@contextmanager
def results(path: Path | None, *, overwrite: bool = False) -> Iterator[Callable[[Any], None]]:
    """Lend a function that writes a row; the file appears when the block ends well.

    Raises:
        InvalidInputError: it exists and ``overwrite`` is off, or cannot be written.
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
    with atomic_write(path, overwrite=overwrite) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            yield lambda row: print(json.dumps(row, default=str), file=file, flush=True)
        if as_parquet and temporary.stat().st_size:
            pyarrow.parquet.write_table(pyarrow.json.read_json(temporary), temporary)


@contextmanager
def _pyarrow(path: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(f"{path}: Parquet", "cluster") from error
