"""What was found in a recording and done to it, for people and for programs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.bandwidth import CutoffEstimate
from overtone.dsp.stretches import Stretch, clock
from overtone.dsp.stretches import describe as describe_stretches
from overtone.inference.planning import MUSIC_BELOW

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class EnhanceReport:
    """What was found in a recording, and what was done to it; printed, it is one line.

    ``source`` and ``destination`` are names of files, empty for arrays. ``seconds`` is wall time;
    ``changed`` is False where nothing was added, and ``warning`` says why. ``action`` is
    "written", "copied" (bit for bit, as there was nothing to do), "skipped" (``destination`` is
    then empty) or, for arrays, "returned". ``left_behind`` names what the source carries besides
    sound and the destination's format has no place for. ``stretches`` are the parts of one
    bandwidth each, as in :class:`~overtone.inference.planning.Plan`; ``speech`` is how likely the
    recording is speech rather than music, if that chose the model. ``selected`` are the parts, in
    seconds, that were to be enhanced, if not all; ``lufs`` is the loudness of the output, if one
    was asked for.
    """

    source: str
    destination: str
    input_rate: int
    output_rate: int
    channels: int
    duration_s: float
    cutoff: CutoffEstimate
    cutoff_given: bool
    model: str
    seconds: float
    clipped_samples: int
    changed: bool
    warning: str = ""
    left_behind: tuple[str, ...] = ()
    action: str = "written"
    stretches: tuple[Stretch, ...] = ()
    speech: float | None = None
    selected: tuple[tuple[float, float], ...] = ()
    lufs: float | None = None

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio done in a second."""
        return self.duration_s / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types that JSON has, as ``overtone enhance --json`` prints it.

        Example:
            >>> from overtone import enhance
            >>> enhance(np.zeros(8000), 8000).report.to_dict()["warning"]
            'silent'
        """
        report = asdict(self) | {"realtime_factor": self.realtime_factor}
        del report["cutoff"]["transition"]  # dozens of numbers for no reader
        report["cutoff"]["lines_hz"] = list(self.cutoff.lines_hz)
        stretches = [stretch.to_dict() for stretch in self.stretches]
        selected = [[start, None if math.isinf(end) else end] for start, end in self.selected]
        return report | {
            "left_behind": list(self.left_behind),
            "stretches": stretches,
            "selected": selected,
        }

    def __str__(self) -> str:
        parts = [
            f"{_kilohertz(self.input_rate)} -> {_kilohertz(self.output_rate)} kHz",
            self._cutoff_in_words(),
        ]
        if self.selected:
            spans = " and ".join(
                f"{clock(start)} to {'the end' if math.isinf(end) else clock(end)}"
                for start, end in self.selected
            )
            parts.append(f"only {spans}")
        if self.changed:
            why = "; ".join(filter(None, (self._content_in_words(), self.warning)))
            parts.append(f"model {self.model}" + (f" ({why})" if why else ""))
        else:
            how = f"{self.action}, " if self.action in ("copied", "skipped") else ""
            parts.append(f"{how}unchanged" + (f": {self.warning}" if self.warning else ""))
        if self.lufs is not None:
            parts.append(f"{self.lufs:.1f} LUFS")
        parts.append(f"{self.seconds:.2f} s, {self.realtime_factor:.3g} times real time")
        if self.clipped_samples:
            plural = "" if self.clipped_samples == 1 else "s"
            parts.append(f"{self.clipped_samples} sample{plural} clipped")
        if self.left_behind:
            parts.append(f"left behind: {', '.join(self.left_behind)}")
        names = " -> ".join(filter(None, (self.source, self.destination)))
        return (f"{names}: " if names else "") + ", ".join(parts)

    def _content_in_words(self) -> str:
        if self.speech is None:
            return ""
        sure = max(self.speech, 1 - self.speech)
        if sure <= 1 - MUSIC_BELOW:
            return "speech or music, unsure"
        return f"{'speech' if self.speech > 0.5 else 'music'}, {min(sure, 0.99):.0%} sure"

    def _cutoff_in_words(self) -> str:
        cutoff = self.cutoff
        if len(self.stretches) > 1:
            return describe_stretches(self.stretches)
        if cutoff.cutoff_hz is None:
            # A model has to start somewhere: at the end of what the rate can hold.
            taken = f", taken as {_kilohertz(self.input_rate / 2)} kHz" if self.changed else ""
            seen = f" ({cutoff.seen})" if self.changed and cutoff.seen else ""
            return f"cutoff unsure{seen}{taken}"
        if cutoff.guess_hz is not None and not self.cutoff_given:
            return f"cutoff {_kilohertz(round(cutoff.cutoff_hz, -1))} kHz (a guess: {cutoff.seen})"
        # Nothing that was found by analysis is certain.
        sure = "given" if self.cutoff_given else f"{min(cutoff.confidence, 0.99):.0%} sure"
        what = "full band to" if cutoff.verdict == "full band" else "cutoff"
        return f"{what} {_kilohertz(round(cutoff.cutoff_hz, -1))} kHz ({sure})"


def _kilohertz(hertz: float) -> str:
    return f"{hertz / 1000:g}"


class _Audio(NamedTuple):
    samples: FloatArray
    sample_rate: int


class Enhanced(_Audio):
    """An enhanced array and its rate, as a pair; ``report`` says what was done.

    Example:
        >>> from overtone import enhance
        >>> result = enhance(np.zeros(8000), 8000)
        >>> samples, sample_rate = result
        >>> sample_rate, result.report.changed
        (48000, False)
    """

    report: EnhanceReport

    def __new__(cls, samples: FloatArray, sample_rate: int, report: EnhanceReport) -> Enhanced:
        """Make the pair and keep the report beside it."""
        pair = super().__new__(cls, samples, sample_rate)
        pair.report = report
        return pair

    def __getnewargs__(self) -> tuple[FloatArray, int, EnhanceReport]:
        """Return what a copy is made of."""
        return self.samples, self.sample_rate, self.report
