"""How networks use a machine: which of its GPUs, how many threads, and memory on a processor."""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

#: Networks with fewer parameters compute in one thread.
SMALL = 3_000_000
#: Options of glibc's `mallopt`: how many large blocks it may get from the system one by one, what
#: is large, and how much that is free it keeps. The sizes are those to which it goes by itself.
M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -4, -3, -1
COMPUTING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}
OTHERWISE = {M_MMAP_MAX: 2**16, M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**26}


@contextlib.contextmanager
def gpu(device: str) -> Iterator[str]:
    """Give out a GPU that no other job on this machine holds, where there are several."""
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if count < 2:
        yield device
        return
    folder = Path(tempfile.gettempdir()) / f"companion-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    names = [name.replace("/", "_") for name in visible.split(",")]
    for number, name in cycle(enumerate(names)):
        with contextlib.suppress(Timeout), FileLock(folder / name, timeout=0):
            yield f"cuda:{number}"
            return
        time.sleep(1 / count)


@contextlib.contextmanager
def computing(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Let networks compute without waiting for each other's threads or for cleared memory.

    Small ones compute in one thread: where other processes keep the cores busy, more of them only
    wait for each other. What a layer frees stays here for the next one, until the end: glibc would
    hand large blocks back to the system, which clears them again each time. On a processor that is
    up to two thirds of a convolutional network's time.
    """
    sizes = [sum(p.numel() for p in network.parameters()) for network in networks]
    before = torch.get_num_threads()
    if max(sizes) < SMALL:
        torch.set_num_threads(1)
    try:
        with _freed_memory_kept():
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _freed_memory_kept() -> Iterator[None]:
    """Where the C library is glibc."""
    try:
        glibc = ctypes.CDLL("libc.so.6")
    except OSError:
        yield
        return
    try:
        for option in COMPUTING.items():
            glibc.mallopt(*option)
        yield
    finally:
        for option in OTHERWISE.items():
            glibc.mallopt(*option)
        glibc.malloc_trim(0)
