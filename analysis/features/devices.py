"""How networks use a machine: which of its GPUs, its memory, and how many threads."""

from __future__ import annotations

import contextlib
import gc
import getpass
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

#: Networks with fewer parameters compute in one thread.
SMALL = 3_000_000
#: What errors say, in lower case, that a lack of memory leads to.
NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "unable to find an engine",
)


def gpus(device: str) -> int:
    """How many GPUs jobs share that compute on a device: 0 where they do not choose."""
    return torch.cuda.device_count() if device in ("auto", "cuda") else 0


@contextlib.contextmanager
def gpu(device: str) -> Iterator[str]:
    """Give out a GPU that no other job of this user on this machine holds; waits for one."""
    count = gpus(device)
    if not count:
        yield device
        return
    # Another user's locks could not be opened.
    folder = Path(tempfile.gettempdir()) / f"companion-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    # A part of a GPU (MIG) has slashes in its name.
    names = [name.replace("/", "_") for name in visible.split(",")]
    for tried, (number, name) in enumerate(cycle(enumerate(names))):
        if tried == count:
            print("waiting for a GPU, which other jobs hold …", file=sys.stderr, flush=True)
        with contextlib.suppress(Timeout), FileLock(folder / name, timeout=0):
            yield f"cuda:{number}"
            return
        time.sleep(1 / count)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says, in one of the ways of PyTorch and its libraries, that memory lacks."""
    said = str(error).lower()
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or (isinstance(error, RuntimeError) and any(sign in said for sign in NO_MEMORY))


def free_memory() -> None:
    """Give back the memory of networks that nothing refers to."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def computing(networks: Sequence[nn.Module], tf32: bool = False) -> Iterator[None]:
    """Let small networks compute in one thread, and NVIDIA GPUs in TF32 or not.

    Where other processes occupy the cores, more threads only wait for each other. By default
    PyTorch allows TF32 in convolutions.
    """
    threads = torch.get_num_threads()
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    allowed = [backend.allow_tf32 for backend in backends]
    if max(sum(p.numel() for p in network.parameters()) for network in networks) < SMALL:
        torch.set_num_threads(1)
    try:
        for backend in backends:
            backend.allow_tf32 = tf32
        yield
    finally:
        torch.set_num_threads(threads)
        for backend, before in zip(backends, allowed, strict=True):
            backend.allow_tf32 = before
