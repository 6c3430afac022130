"""Options under the names they had before: they work, and no help speaks of them."""

from typing import Any, ClassVar

from typer.core import TyperCommand


class WithOldNames(TyperCommand):
    """A command that takes ``--sr``, ``--out`` and ``--workers`` for what they are called now.

    Subclasses name what other commands called differently. An option that is now called nothing is
    dropped, and its value, if any, stands as an argument.
    """

    renamed: ClassVar[dict[str, str]] = {
        "--sr": "--rate",
        "--out": "--output",
        "--workers": "--jobs",
    }

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments with every old name replaced."""
        return super().parse_args(
            ctx, [new for argument in args for new in self._renamed(argument)]
        )

    def _renamed(self, argument: str) -> list[str]:
        name, sign, value = argument.partition("=")
        new = self.renamed.get(name, name)
        if new or not name:
            return [new + sign + value]
        return [value] if sign else []


class TrainWithOldNames(WithOldNames):
    """``overtone train``, also as ``train.py`` of the TFiLM reimplementation."""

    renamed: ClassVar[dict[str, str]] = WithOldNames.renamed | {"--dataset-root": "--data-root"}


class ExamplesWithOldNames(WithOldNames):
    """``overtone examples``, also as ``inference.py`` of the TFiLM reimplementation."""

    renamed: ClassVar[dict[str, str]] = WithOldNames.renamed | {
        "--wave-file-list": "",
        "--save-example": "",
        "--checkpoint": "--model",
    }


class StreamWithOldNames(WithOldNames):
    """``overtone stream``; its ``--rate`` was the input's, which is ``--input-rate`` now."""

    renamed: ClassVar[dict[str, str]] = {"--listen": "--analysis", "--output-rate": "--rate"}


class LiveWithOldNames(WithOldNames):
    """``overtone live``; ``--output`` is a file elsewhere."""

    renamed: ClassVar[dict[str, str]] = {
        "--input": "--input-device",
        "--output": "--output-device",
    }
