"""Where training runs: the only module that knows which devices there are.

Constants of losses and networks live on the device of what they are applied to, so that a task has
to place its networks and its batches, and nothing else.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overtone.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``: ``auto`` takes a GPU where there is one.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: no such device; the message says which there are.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda", 0) if gpus else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < gpus):
        return device
    known = ", ".join(["auto", "cpu", *(f"cuda:{number}" for number in range(gpus))])
    raise ConfigError(f"no device {name!r} for training here; give one of {known}")


def describe(device: torch.device, bfloat16: bool) -> str:
    """Return a device and its arithmetic in words."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        where = f"cpu, {threads} thread{'s' * (threads > 1)}"
    else:
        named = device.type == "cuda"
        where = f"{device} ({torch.cuda.get_device_name(device)})" if named else str(device)
    return f"{where}, {'bfloat16' if bfloat16 and _multiplies_bfloat16(device.type) else 'float32'}"


def idle_cores() -> int:
    """Return how many cores this process may use and others leave free, at least one.

    Threads that wait for one whose core another process has cost more than they bring: on two cores
    with ten runnable processes, a step takes twice as long with two threads as with one.
    """
    everything = os.cpu_count() or 1
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everything
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(own, everything - round(load)))


def autocast(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Return a context in which matrix products are in bfloat16, if ``wanted`` and worth it."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=wanted and _multiplies_bfloat16(device.type)
    )


@cache
def _multiplies_bfloat16(device_type: str) -> bool:
    """Return whether the hardware does it itself; where it is emulated, float32 is faster.

    Older versions of torch cannot tell of CPUs, and then the answer is no.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    tell: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    found = tell()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def to_device(device: torch.device, *arrays: NDArray[np.float32]) -> tuple[Tensor, ...]:
    """Return the arrays as tensors on ``device``."""
    return tuple(torch.from_numpy(array).to(device) for array in arrays)
