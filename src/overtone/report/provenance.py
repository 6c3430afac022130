"""Where and when numbers were made: the machine, the versions, the commit, the day."""

import contextlib
import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from overtone import __version__

LIBRARIES = ("numpy", "onnxruntime", "soxr", "soundfile")


def machine() -> dict[str, str]:
    """Return what the numbers were measured on: processor, cores, memory, system, versions."""
    cores = os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def provenance() -> dict[str, str]:
    """Return what a page opens with: day, version, commit and :func:`machine`."""
    commit = source_commit()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "overtone": f"{__version__}, commit {commit}" if commit else __version__,
        **machine(),
    }


def source_commit() -> str | None:
    """Return the commit that this source was checked out from; None outside a checkout."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here.parent), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # A package installed below some other checkout is not that checkout's.
        git("ls-files", "--error-unmatch", here.name)
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", str(here.parent.parent)
        )
        return git("rev-parse", "--short=10", "HEAD") + (" with changes" if changed else "")
    return None


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in fields.items()}
    details = [known.get("model name", platform.machine())]
    if "cpu family" in known:
        details.append(f"family {known['cpu family']} model {known.get('model', '?')}")
    flags = known.get("flags", "").split()
    details += [name for flag, name in (("avx512_vnni", "AVX-512 VNNI"),) if flag in flags]
    return ", ".join(details)


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{size / 2**30:.1f} GiB"
