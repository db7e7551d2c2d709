"""A kill in the middle of a command, and two commands side by side: what went wrong."""

import time

import ground

#: What a command may need before it can begin.
BEFORE = {"measure": ("extract",), "remove": ("add",)}


def kills(kept, project):
    """Kill a command half-way, once alone and once with its children; then let it end.

    It must leave what it leaves without a kill.
    """
    for name in ground.CASES["killed"]:
        begun = ground.begun(kept, project, *BEFORE.get(name, ()))
        expected, seconds = _left(begun, project, name)
        for all_of_it in (False, True):
            ground.fresh(begun, project)
            process = ground.start(project, ground.COMMANDS[name])
            time.sleep(seconds / 2)
            killed = process.poll() is None
            if killed:
                ground.kill(project, process, all_of_it=all_of_it)
            process.communicate()
            code, said = ground.run(project, ground.COMMANDS[name])
            wrong = ground.differences(expected, ground.snapshot(project))
            yield f"{name}, killed {killed}", [wrong or said[-300:]] if code or wrong else []


def pairs(kept, project):
    """Start a command while another runs; both must succeed, and leave what they leave in turn."""
    for first, second in ground.CASES["pairs"]:
        built = ("build",) if "build" in (first, second) else ()
        base = ground.begun(kept, project, *BEFORE.get(first, ()), *BEFORE.get(second, ()))
        expected, seconds = _left(base, project, first, second, *built)
        ground.fresh(base, project)
        earlier = ground.start(project, ground.COMMANDS[first])
        time.sleep(seconds / 4)
        other = ground.start(project, ground.COMMANDS[second])
        said = [process.communicate(timeout=900)[0] for process in (earlier, other)]
        ground.do(project, *built)
        failed = [ground.differences(expected, ground.snapshot(project))]
        failed += [
            text[-200:] for text, one in zip(said, (earlier, other), strict=True) if one.returncode
        ]
        yield f"{first} beside {second}", [*filter(None, failed)]


def _left(begun, project, *names):
    """What commands leave that nothing disturbs, and how long they take."""
    ground.fresh(begun, project)
    began = time.monotonic()
    ground.do(project, *names)
    return ground.snapshot(project), time.monotonic() - began
