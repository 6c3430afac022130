"""Where training runs: the only module that knows which devices there are.

Constants of losses and networks live on the device of what they are applied to, so that a task has
to place its networks and its batches, and nothing else.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overtone.errors import ConfigError


def choose_device(name: str = "auto", local_rank: int = 0) -> torch.device:
    """Return the device called ``name``: ``auto`` takes a GPU where there is one.

    Args:
        local_rank: of ``auto`` and ``cuda``, which GPU: each process of a machine has its own.
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        ConfigError: no such device; the message says which there are.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    there = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    there += ["mps"] * torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.device_count() else [*there, "cpu"][0]
    if name == "cuda":
        name = f"cuda:{local_rank}"
    if name in ("cpu", *there):
        return torch.device(name)
    known = ", ".join(["auto", "cpu", *there])
    raise ConfigError(f"no device {name!r} for training here; give one of {known}")


def describe(device: torch.device, reduced: bool) -> str:
    """Return a device and its arithmetic in words; ``reduced`` as for :func:`autocast`."""
    where = str(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        where = f"cpu, {threads} thread{'s' * (threads > 1)}"
    elif device.type == "cuda":
        where = f"{device} ({torch.cuda.get_device_name(device)})"
    arithmetic = str(autocast_dtype(device, reduced)).removeprefix("torch.")
    tf32 = ", TF32 where it is float32" if device.type == "cuda" and reduced else ""
    return f"{where}, {arithmetic}{tf32}"


def set_tf32(device: torch.device, reduced: bool) -> None:
    """Let a GPU round the factors of float32 products to TF32's 10 bits, or not."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if reduced else "highest")
        torch.backends.cudnn.allow_tf32 = reduced


def idle_cores() -> int:
    """Return how many cores this process may use and others leave free, at least one.

    Threads that wait for one whose core another process has cost more than they bring: on two cores
    with ten runnable processes, a step takes twice as long with two threads as with one.
    """
    everything = os.cpu_count() or 1
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everything
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(own, everything - round(load)))


def autocast(device: torch.device, reduced: bool = True) -> AbstractContextManager[Any]:
    """Return a context in which matrix products are of fewer bits, if ``reduced`` and worth it."""
    dtype = autocast_dtype(device, reduced)
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype)


@cache
def autocast_dtype(device: torch.device, reduced: bool) -> torch.dtype:
    """Return bfloat16 where the hardware has it, float16 on other NVIDIA GPUs, float32 elsewhere.

    Where bfloat16 is emulated, float32 is faster. Older versions of torch cannot tell of CPUs, and
    then the answer is float32.
    """
    if not reduced:
        return torch.float32
    if device.type == "cuda":
        own = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if own else torch.float16
    tell: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    found = tell() if device.type == "cpu" else {}
    has_bfloat16 = any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32


def gradient_scaler(device: torch.device, reduced: bool) -> torch.amp.GradScaler:
    """Return what keeps float16's gradients from underflow; idle with any other arithmetic."""
    half = autocast_dtype(device, reduced) is torch.float16
    return torch.amp.GradScaler(device.type if half else "cpu", enabled=half)


def wide(values: Tensor) -> Tensor:
    """Return float64; from MPS, which has none, on the CPU."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def to_device(device: torch.device, *arrays: NDArray[np.float32]) -> tuple[Tensor, ...]:
    """Return the arrays as tensors on ``device``."""
    return tuple(torch.from_numpy(array).to(device) for array in arrays)
