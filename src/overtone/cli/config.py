"""Options in files: ``overtone.toml`` in the working folder, and one in the user's own folder.

A table is named after its command, a key after its option: ``jobs = 4`` under ``[enhance]``. What
the command line says comes first, then the working folder, then the user's own file.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import typer

from overtone.cli.options import in_plain_words
from overtone.errors import ConfigError
from overtone.files import read_toml, reason

NAME = "overtone.toml"
# A file that came with the recordings must not have anything overwritten.
NEVER = {"help", "force"}


@dataclass(frozen=True)
class Setting:
    """What a file says about an option: ``name`` is its table and key, ``path`` its parameter."""

    file: Path
    name: str
    path: tuple[str, ...]
    value: Any


def places() -> list[Path]:
    """Return where files are looked for, those that go before others first."""
    return [Path(NAME), Path(typer.get_app_dir("overtone"), NAME)]


def read(context: typer.Context) -> list[Setting]:
    """Return all settings for a group of commands, in the order of ``places``.

    Raises:
        ConfigError: a file cannot be read, or has a table, key or value that no command knows.
    """
    found: list[Setting] = []
    for file in places():
        if not os.path.lexists(file):
            continue
        try:
            tables = read_toml(file)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({reason(error)})") from error
        except ValueError as error:
            raise ConfigError(f"{file}: not a TOML file: {error}") from error
        found += _settings(file, context, context.command, tables, ())
    return found


def default_map(settings: list[Setting]) -> dict[str, Any]:
    """Return what click takes options from that the command line leaves open."""
    tables: dict[str, Any] = {}
    for setting in reversed(settings):
        table = tables
        for name in setting.path[:-1]:
            table = table.setdefault(name, {})
        table[setting.path[-1]] = setting.value
    return tables


def _settings(
    file: Path, context: Any, command: Any, table: dict[str, Any], path: tuple[str, ...]
) -> Iterator[Setting]:
    commands = getattr(command, "commands", {})
    options = {} if commands else dict(_options(command))
    for key, value in table.items():
        name = ".".join((*path, key))
        if commands:
            if not isinstance(value, dict):
                cure = "; options go below their command, as in [enhance]"
                raise ConfigError(f"{file}: {name}: no such table{cure}")
            if key not in commands:
                raise ConfigError(f"{file}: {name}: no such table{_nearest(key, commands)}")
            yield from _settings(file, context, commands[key], value, (*path, key))
            continue
        option = options.get(key.replace("_", "-"))
        if option is None:
            raise ConfigError(f"{file}: {name}: unknown key{_nearest(key, options)}")
        checked = _checked(f"{file}: {name}", context, option, value)
        yield Setting(file, name, (*path, option.name), checked)


def _options(command: Any) -> Iterator[tuple[str, Any]]:
    """Yield the options of a command, by their long names without dashes."""
    for option in command.params:
        for name in option.opts:
            if name.startswith("--") and option.name not in NEVER:
                yield name.removeprefix("--"), option


def _nearest(key: str, known: Any) -> str:
    near = difflib.get_close_matches(key.replace("_", "-"), known, 1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def _checked(name: str, context: Any, option: Any, value: Any) -> Any:
    """Return a value as the command line would give it."""
    if isinstance(value, bool) or option.is_flag:
        if not (isinstance(value, bool) and option.is_flag):
            raise ConfigError(f"{name}: {'true or false' if option.is_flag else 'no switch'}")
        return value
    several = value if isinstance(value, list) else [value]
    if len(several) != 1 and not option.multiple:
        raise ConfigError(f"{name}: takes one value, not {len(several)}")
    texts = [str(one) for one in several]
    given = texts if option.multiple else texts[0]
    try:
        option.process_value(context, given)
    except typer.BadParameter as error:
        raise ConfigError(f"{name}: {in_plain_words(error)}") from error
    return given


def config(context: typer.Context) -> None:
    """Show the options that overtone.toml sets, in the working folder and in your own.

    \b
    [enhance]
    jobs = 4
    """
    settings = read(cast("typer.Context", context.parent))
    seen: set[tuple[str, ...]] = set()
    for file in places():
        here = [setting for setting in settings if setting.file == file]
        typer.echo(f"{file}{'' if os.path.lexists(file) else ': not there'}")
        for setting in here:
            note = f" (but {places()[0]} comes first)" if setting.path in seen else ""
            typer.echo(f"  {setting.name} = {setting.value}{note}")
            seen.add(setting.path)
