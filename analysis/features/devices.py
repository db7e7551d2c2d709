"""How networks use a machine: which of its GPUs, and how many threads."""

from __future__ import annotations

import contextlib
import getpass
import os
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


@contextlib.contextmanager
def gpu(device: str) -> Iterator[str]:
    """Give out a GPU that no other job on this machine holds, where there are several."""
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if count < 2:
        yield device
        return
    # Another user's locks could not be opened.
    folder = Path(tempfile.gettempdir()) / f"companion-gpus-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    # A part of a GPU (MIG) has slashes in its name.
    names = [name.replace("/", "_") for name in visible.split(",")]
    for number, name in cycle(enumerate(names)):
        with contextlib.suppress(Timeout), FileLock(folder / name, timeout=0):
            yield f"cuda:{number}"
            return
        time.sleep(1 / count)


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
