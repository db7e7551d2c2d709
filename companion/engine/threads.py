"""How many threads linear algebra takes in a process: its share of this machine's cores.

By default every process would start a thread for each core. The threads of several processes then
wait for each other, by spinning: the singular value decomposition of a head takes nine times the
processor time on a machine that others use as well.
"""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

#: The libraries that NumPy, SciPy and PyTorch may be built on. A reader's own setting holds.
LIBRARIES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
GIVEN = {name: os.environ[name] for name in LIBRARIES if name in os.environ}


def jobs_wanted() -> int:
    """How many processes work at a time: ``COMPANION_JOBS``, else 2."""
    return int(os.environ.get("COMPANION_JOBS", "2"))


def share(jobs: int) -> int:
    """The cores that each of some processes has, at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (allowed or 1) // jobs)


def of_a_job(jobs: int) -> dict[str, str]:
    """What the environment of one of some jobs says, for libraries that it has not loaded yet."""
    return dict.fromkeys(LIBRARIES, str(share(jobs))) | GIVEN


def limit() -> None:
    """Limit BLAS in this process as in one of the usual number of jobs, loaded already or not.

    PyTorch, whose networks may have this process to themselves, keeps its own number.
    """
    if not GIVEN:
        count = share(jobs_wanted())
        os.environ[LIBRARIES[0]] = str(count)
        threadpool_limits(count, user_api="blas")
