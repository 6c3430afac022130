"""The processes that train together: the only module that knows there may be several.

Each has all of the network and takes its part of every batch; gradients are added up, so that all
make the step that one process would. They are started by ``torchrun`` or, under Slurm, ``srun``.

Rounding differs with the size of a part and the order of a sum, and training magnifies it tenfold a
step. So a CPU takes a batch in as many parts whoever takes them, and adds them up in float64.
"""

import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, TCPStore

from overtone.errors import ConfigError

# So long others wait for the first, which validates.
TIMEOUT = timedelta(minutes=30)
# So long survivors wait for each other, to find out who is missing.
ROLL_CALL_S = 3.0

# In so many parts CPUs take a batch, all together: the same for one, two and four of them.
CPU_PARTS = 4
# Of so many examples at least where they are in bfloat16: backward, one or two take thirty times
# as long.
BFLOAT16_PART = 3

T = TypeVar("T")

# Places in a batch, and what part of the batch they are.
Part = tuple[range, float]


@dataclass(frozen=True)
class World:
    """How many processes there are, which of them this is, and which on its machine.

    ``accumulate``: in so many parts, one after another, a process takes what is its own.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    accumulate: int = 1
    store: Any = field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is the process that saves, validates and logs."""
        return self.rank == 0

    def require_divides(self, batch_size: int) -> None:
        """Raise :class:`~overtone.errors.ConfigError` unless all parts of a batch are alike."""
        if batch_size % (self.size * self.accumulate):
            raise ConfigError(
                f"batches of {batch_size} cannot be cut into {self.size * self.accumulate} parts"
                f" ({self.size} by --nproc-per-node, {self.accumulate} by --accumulate); give a"
                f" --batch-size that is a multiple of {self.size * self.accumulate}"
            )

    def parts(self, items: int) -> Iterator[Part]:
        """Yield this process's parts of a batch of ``items``.

        A batch may have fewer items than there are parts: then some repeat an item that counts
        nothing.

        Example:
            >>> list(World(rank=1, size=2).parts(6))
            [(range(3, 6), 0.5)]
        """
        every = self.size * self.accumulate
        for part in range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate):
            places = range(part * items // every, (part + 1) * items // every)
            yield places or range(1), len(places) / items

    def in_turn(self, parts: Sequence[T], seed: int, step: int) -> Iterator[T]:
        """Yield this process's parts; what each draws depends on seed, step and its place alone.

        So a resumed run draws what it would have, and no two parts the same.
        """
        for number, part in enumerate(parts, self.rank * self.accumulate):
            torch.manual_seed(seed * 1_000_003 + step + (number << 40))
            yield part

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, in the place of ``values``."""
        if self.size > 1:
            with self._together():
                dist.all_reduce(values)
        return values

    def total(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the sum over all processes of each figure; all give the same names."""
        values = self.sum(torch.tensor(list(figures.values()), dtype=torch.float64))
        return dict(zip(figures, values.tolist(), strict=True))

    def any(self, asked: bool) -> bool:
        """Return whether any process says yes."""
        return self.total({"asked": asked})["asked"] > 0

    def share(self, networks: Iterable[nn.Module]) -> None:
        """Give every process the first one's weights."""
        if self.size > 1:
            for network in networks:
                for tensor in network.state_dict().values():
                    with self._together():
                        dist.broadcast(tensor, 0)

    def require_same(self, what: Mapping[str, object]) -> None:
        """Raise :class:`~overtone.errors.ConfigError` where processes are not of one mind.

        Also waits until all have come here.
        """
        if self.size == 1:
            return
        everyone: list[dict[str, object]] = [{} for _ in range(self.size)]
        with self._together():
            dist.all_gather_object(everyone, dict(what))
        for rank, other in enumerate(everyone):
            for name, value in other.items():
                if value != everyone[0][name]:
                    raise ConfigError(
                        f"{name} is {value} for rank {rank} and {everyone[0][name]} for rank 0;"
                        " start all with the same"
                    )

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Name the processes that are gone where one cannot be reached any more."""
        try:
            yield
        except RuntimeError as error:
            gone = ", ".join(map(str, self._missing())) or "another"
            raise ConfigError(
                f"rank {gone} has ended, and with it the run; --resume goes on from the last"
                " checkpoint, with any number of processes"
            ) from error

    def _missing(self) -> list[int]:
        """Call the roll: what does not answer within seconds is gone."""
        try:
            self.store.set(f"alive/{self.rank}", "1")
            time.sleep(ROLL_CALL_S)
            return [n for n in range(self.size) if not self.store.check([f"alive/{n}"])]
        except RuntimeError:  # the store is the first process's
            return [0]


def default_accumulate(
    size: int, batch_size: int, device: torch.device, *, bfloat16: bool = False
) -> int:
    """Return in how many parts each of ``size`` processes takes its own, if nobody says.

    On a CPU, small parts cost nothing, but for the smallest in bfloat16.

    Example:
        >>> [default_accumulate(size, 16, torch.device("cpu")) for size in (1, 2, 4, 8)]
        [4, 2, 1, 1]
    """
    parts = math.gcd(CPU_PARTS, batch_size) if device.type == "cpu" else 1
    while bfloat16 and parts > 1 and batch_size // parts < BFLOAT16_PART:
        parts //= 2
    return parts // size if parts % size == 0 else 1


@contextmanager
def join_world(environment: Mapping[str, str] | None = None) -> Iterator[World]:
    """Join the processes that ``torchrun`` or Slurm's ``srun`` started, if there are others.

    Raises:
        ConfigError: they cannot be reached.
    """
    found = _from_environment(os.environ if environment is None else environment)
    if found["size"] == 1:
        yield World()
        return
    address, port = found.pop("address"), found.pop("port")
    rank, size = found["rank"], found["size"]
    try:
        store = TCPStore(address, port, size, rank == 0 and not _agent_has_store())
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend,
            store=PrefixStore("overtone", store),
            rank=rank,
            world_size=size,
            timeout=TIMEOUT,
        )
    except RuntimeError as error:
        raise ConfigError(
            f"rank {rank}: cannot reach the {size - 1} other processes at {address}:{port}"
        ) from error
    try:
        yield World(**found, store=store)
    finally:
        dist.destroy_process_group()


def _agent_has_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return rank, sizes, and the address where all meet, as torchrun or Slurm give them."""

    def number(otherwise: int, *names: str) -> int:
        given = next((environment[name] for name in names if name in environment), "")
        digits = re.match(r"\d+", given)
        return int(digits[0]) if digits else otherwise

    # Slurm's are those of a step, which `srun` starts: in a batch script alone there is none.
    size = number(1, "WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
    nodes = environment.get("SLURM_STEP_NODELIST", "127.0.0.1")
    return {
        "rank": number(0, "RANK", "SLURM_PROCID") if size > 1 else 0,
        "size": size,
        "local_rank": number(0, "LOCAL_RANK", "SLURM_LOCALID") if size > 1 else 0,
        "local_size": number(1, "LOCAL_WORLD_SIZE", "SLURM_STEP_TASKS_PER_NODE"),
        "address": environment.get("MASTER_ADDR") or _first_host(nodes),
        "port": number(20_000 + number(0, "SLURM_JOB_ID") % 20_000, "MASTER_PORT"),
    }


def _first_host(nodes: str) -> str:
    """Return the first of Slurm's ``gpu[03-07,12],cpu1``."""
    found = re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes


def mean_figures(parts: Iterable[tuple[Mapping[str, Tensor], float]]) -> dict[str, float]:
    """Return each figure's sum over parts, by their shares."""
    total: dict[str, float] = {}
    for figures, share in parts:
        for name, value in figures.items():
            total[name] = total.get(name, 0.0) + share * value.item()
    return total
