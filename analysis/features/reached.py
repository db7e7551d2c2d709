"""Networks that a function runs are found and kept as they are, however it reaches them.

A function may hold its network in a closure, a global, a partial, a wrapper, an attribute or a
container. What is found there runs in evaluation mode for the while, and so does every module that
is called and was not found.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import is_lazy

#: Things that are looked at before the search ends.
MOST = 100_000
#: What holds no network.
PLAIN = (str, bytes, int, float, complex, Tensor, np.ndarray, types.ModuleType, types.NoneType)
#: Packages whose functions run no network of their own that a global names.
LIBRARIES = {*sys.stdlib_module_names, "torch", "torchvision", "numpy", "scipy", "pandas", "PIL"}


def networks(called: object) -> list[nn.Module]:
    """The modules that a callable can reach, nearest first, without those within them.

    >>> net = nn.Linear(2, 2)
    >>> networks(functools.partial(lambda x, scale: scale * net(x), scale=2)) == [net]
    True
    """
    found: list[nn.Module] = []
    seen: dict[int, object] = {}  # which keeps what it has seen, so that no number comes twice
    waiting = deque([called])
    while waiting and len(seen) < MOST:
        each = waiting.popleft()
        if id(each) in seen or isinstance(each, PLAIN):
            continue
        seen[id(each)] = each
        if isinstance(each, nn.Module):
            found.append(each)
        with contextlib.suppress(Exception):  # of things that refuse to be looked at
            waiting.extend(_within(each))
    inner = {id(part) for each in found for part in each.modules() if part is not each}
    return [each for each in found if id(each) not in inner]


def _within(each: object) -> Iterable[object]:
    """What a thing holds that may be a network or lead to one."""
    if isinstance(each, types.FunctionType):
        return _of_function(each)
    if isinstance(each, types.MethodType | types.BuiltinFunctionType):
        return [each.__self__, getattr(each, "__func__", None)]
    if isinstance(each, staticmethod | classmethod):
        return [each.__func__]
    if isinstance(each, property):
        return [each.fget]
    if isinstance(each, functools.partial):
        return [each.func, *each.args, *each.keywords.values(), *vars(each).values()]
    if isinstance(each, dict):
        return each.values()
    if isinstance(each, list | tuple | set | frozenset):
        return each
    if isinstance(each, weakref.ref):
        return [each()]
    if isinstance(each, type):
        return _of_class(each)
    return _of_object(each)


def _of_function(function: types.FunctionType) -> list[object]:
    """What a function's closure, defaults and attributes hold, and the globals that it names."""
    held: list[object] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    held += vars(function).values()  # `__wrapped__` among them
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is still empty
            held.append(cell.cell_contents)
    if not _of_library(function):
        names = {*_names(function.__code__)}
        known = [function.__globals__[name] for name in names if name in function.__globals__]
        held += known
        for module in (one for one in known if isinstance(one, types.ModuleType)):
            if not _of_library(module):
                held += [value for name, value in vars(module).items() if name in names]
    return held


def _of_object(each: object) -> list[object]:
    """What an object's attributes hold, and what the functions of its class reach."""
    slots = [vars(kind).get("__slots__", ()) for kind in type(each).__mro__]
    names = [name for some in slots for name in ([some] if isinstance(some, str) else some)]
    held = [*getattr(each, "__dict__", {}).values(), *_of_class(type(each))]
    return held + [getattr(each, name) for name in names if hasattr(each, name)]


def _of_class(kind: type) -> list[object]:
    ours = [base for base in kind.__mro__ if not _of_library(base)]
    return [value for base in ours for value in vars(base).values()]


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that code uses, and those of the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _of_library(thing: object) -> bool:
    name = thing.__name__ if isinstance(thing, types.ModuleType) else thing.__module__
    return str(name).partition(".")[0] in LIBRARIES


@contextlib.contextmanager
def left_as_they_were(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Run modules, and all others that this thread calls meanwhile, in evaluation mode.

    Afterwards the training flags and the buffers of all of them are as before, also on errors.
    """
    modes: dict[int, tuple[nn.Module, bool]] = {}
    buffers: list[tuple[nn.Module, str, Tensor, Tensor]] = []
    here = threading.get_ident()

    def settle(module: nn.Module, _: object = None) -> None:
        if threading.get_ident() != here or (id(module) in modes and not module.training):
            return
        parts = [*module.modules()]
        for part in (one for one in parts if id(one) not in modes):
            modes[id(part)] = part, part.training
            held = [(name, one) for name, one in part.named_buffers(recurse=False)]
            buffers.extend((part, *b, b[1].detach().clone()) for b in held if not is_lazy(b[1]))
        # Once all are noted: a wrapper's flag, such as torch.compile's, is that of what it wraps.
        for part in (one for one in parts if one.training):
            part.training = False

    hook = register_module_forward_pre_hook(settle)
    try:
        for module in modules:
            settle(module)
        yield
    finally:
        hook.remove()
        for part, mode in modes.values():
            part.training = mode
        with torch.no_grad():
            for part, name, one, before in buffers:
                _put_back(part, name, one, before)


def _put_back(module: nn.Module, name: str, buffer: Tensor, before: Tensor) -> None:
    """Give a module the buffer that it had, with the values that it had."""
    if not torch.equal(buffer, before):
        buffer.copy_(before)
    if isinstance(module, torch.jit.ScriptModule):  # whose buffers are no dictionary
        return
    if module._buffers.get(name) is not buffer:
        module._buffers[name] = buffer
