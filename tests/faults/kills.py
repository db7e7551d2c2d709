"""Kills at random moments, and pairs at random offsets: what was tried, and what went wrong."""

import time

import ground
import numpy as np
from conftest import cases

#: What a killed command may need before it can begin.
BEFORE = {"measure": ("extract",), "remove": ("add",)}
MOST_KILLS = 3
#: How many commands, or pairs, a single try takes of all.
FEW = 4


def _some(every, tries, seed):
    """All of a list or, for a single try, a few that the seed draws."""
    drawn = np.random.default_rng(seed).permutation(len(every))[:FEW]
    return [every[i] for i in sorted(drawn)] if tries == 1 else every


def kills(kept, project, chains, seed):
    """Kill each command up to three times, let it end, and compare with one that was left alone.

    Odd chains kill the command alone, whose children must notice; even ones all of it.
    """
    for name, line in _some([*ground.COMMANDS.items()], chains, seed):
        rng, failed, killed = ground.random(seed, name), [], 0
        begun = ground.begun(kept, project, *BEFORE.get(name, ()))
        ground.fresh(begun, project)
        began = time.monotonic()
        ground.do(project, name)
        expected, seconds = ground.snapshot(project), time.monotonic() - began
        for chain in range(chains):
            ground.fresh(begun, project)
            for _ in range(int(rng.integers(1, MOST_KILLS + 1))):
                process = ground.start(project, line)
                time.sleep(rng.uniform(0.3, seconds))
                if process.poll() is None:
                    killed += 1
                    ground.kill(project, process, all_of_it=chain % 2 == 0)
                process.communicate()
            code, said = ground.run(project, line)
            # What was added or removed already is so still.
            done = code == 0 or (name == "remove" and "there is no family" in said)
            wrong = ground.differences(expected, ground.snapshot(project))
            if not done or wrong:
                failed.append(f"chain {chain}: {wrong or said[-300:]}")
        yield f"{name} killed {killed} times", failed


def pairs(kept, project, tries, seed):
    """Start a command while another runs; both must succeed, and leave what they leave in turn."""
    for first, second in _some(cases("faults")["pairs"], tries, seed):
        rng, failed = ground.random(seed, first + second), []
        built = ("build",) if "build" in (first, second) else ()
        base = ground.begun(kept, project, *BEFORE.get(first, ()), *BEFORE.get(second, ()))
        began = time.monotonic()
        ground.do(ground.fresh(base, project), first, second, *built)
        expected, seconds = ground.snapshot(project), time.monotonic() - began
        for number in range(tries):
            ground.fresh(base, project)
            earlier = ground.start(project, ground.COMMANDS[first])
            time.sleep(rng.uniform(0, seconds / 2))
            other = ground.start(project, ground.COMMANDS[second])
            said = [process.communicate(timeout=900)[0] for process in (earlier, other)]
            codes = [earlier.returncode, other.returncode]
            for step in built:
                ground.run(project, ground.COMMANDS[step])
            wrong = ground.differences(expected, ground.snapshot(project))
            if codes != [0, 0] or wrong:
                texts = [text[-200:] for text, code in zip(said, codes, strict=True) if code]
                failed.append(f"pair {number}: {wrong} {' | '.join(texts)}".strip())
        yield f"{first} beside {second}, {tries} times", failed
