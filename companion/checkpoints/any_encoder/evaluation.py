"""Networks that run meanwhile, run in evaluation mode, and are left as they were.

A function may reach its network by a closure, a global or a name that it puts together: a hook
before every module's forward sees what is called, and nothing is searched.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import is_lazy


class Watched:
    """The networks that were called, outermost first, and what they were before."""

    def __init__(self) -> None:
        self.networks: list[nn.Module] = []
        self._modes: dict[int, tuple[nn.Module, bool]] = {}
        self._buffers: list[tuple[nn.Module, str, Tensor, Tensor]] = []
        self._lock = threading.RLock()

    def settle(self, module: nn.Module, _: object = None) -> None:
        """Note a module and its parts, and put them in evaluation mode."""
        with self._lock:
            if id(module) in self._modes and not module.training:
                return
            if id(module) not in self._modes:
                self.networks.append(module)
            parts = [*module.modules()]
            for part in (one for one in parts if id(one) not in self._modes):
                self._modes[id(part)] = part, part.training
                for name, one in part.named_buffers(recurse=False):
                    if not is_lazy(one):
                        self._buffers.append((part, name, one, one.detach().clone()))
            # Once all are noted: a wrapper's flag, as torch.compile's, is that of what it wraps.
            for part in (one for one in parts if one.training):
                part.training = False

    def put_back(self) -> None:
        """Give all modules the flags and the buffers that they had."""
        for part, mode in self._modes.values():
            part.training = mode
        with torch.no_grad():
            for part, name, one, before in self._buffers:
                _put_back(part, name, one, before)


@contextlib.contextmanager
def left_as_they_were(encoder: object) -> Iterator[Watched]:
    """Run all modules that are called meanwhile, on any thread, in evaluation mode.

    An encoder that is a module, or a module's method, is so from the start. Afterwards the training
    flags and the buffers of all of them are as before, also on errors; so train nothing in another
    thread meanwhile.
    """
    watched = Watched()
    hook = register_module_forward_pre_hook(watched.settle)
    try:
        for each in (encoder, getattr(encoder, "__self__", None)):
            if isinstance(each, nn.Module):
                watched.settle(each)
        yield watched
    finally:
        hook.remove()
        watched.put_back()


def _put_back(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> None:
    """Give a module the buffer that it had, with the values that it had."""
    if not torch.equal(buffer, before):
        buffer.copy_(before)
    if isinstance(module, torch.jit.ScriptModule):  # whose buffers are no dictionary
        return
    if module._buffers.get(name) is not buffer:
        module._buffers[name] = buffer
