"""Options under the names they had before: they work, and no help speaks of them."""

from typing import Any, ClassVar

from typer.core import TyperCommand


class WithOldNames(TyperCommand):
    """A command that takes ``--sr``, ``--out`` and ``--workers`` for what they are called now.

    Subclasses name what other commands called differently.
    """

    renamed: ClassVar[dict[str, str]] = {
        "--sr": "--rate",
        "--out": "--output",
        "--workers": "--jobs",
    }

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments with every old name replaced."""
        return super().parse_args(ctx, [self._new_name(argument) for argument in args])

    def _new_name(self, argument: str) -> str:
        name, sign, value = argument.partition("=")
        return self.renamed.get(name, name) + sign + value


class StreamWithOldNames(WithOldNames):
    """``overtone stream``; its ``--rate`` was the input's, which is ``--input-rate`` now."""

    renamed: ClassVar[dict[str, str]] = {"--listen": "--analysis", "--output-rate": "--rate"}


class LiveWithOldNames(WithOldNames):
    """``overtone live``; ``--output`` is a file elsewhere."""

    renamed: ClassVar[dict[str, str]] = {
        "--input": "--input-device",
        "--output": "--output-device",
    }
