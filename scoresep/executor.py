"""Who does the work of a map: this process, processes on the cores of this machine, or a Dask cluster.

loky's pool and Dask's client both give a `concurrent.futures.Executor`. loky's processes are started afresh (no fork of
a process with threads), stay for the next map, and can be stopped in the middle of a task.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from loky import get_reusable_executor

from scoresep import __version__
from scoresep.errors import Failed, Unavailable, WrongVersion
from scoresep.machine import available_cores

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

ANSWER = 20.0
"""Seconds that a Dask scheduler has to answer, and then its first worker to appear."""
IDLE = 300
"""Seconds that processes of this machine stay without work."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables that keep libraries of each process to its part of the cores; a user's own win."""
DIED = "a worker process died, perhaps for lack of memory; what was finished is kept"
RUN_AGAIN = "run the same command again"


@dataclass(frozen=True)
class Engine:
    """Where work runs.

    Attributes:
        jobs: processes on this machine, 1 for this very process; 0 for one a core.
        scheduler: address of a Dask scheduler, such as tcp://node1:8786, whose workers see the same files; '' for
            this machine.
    """

    jobs: int = 0
    scheduler: str = ""

    def map(self, function: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[Outcome]:
        """Results of `function`, as they come. What one call raises ends the map, and the other calls.

        Function and items are pickled where there are several processes.

        Raises:
            ScoresepError: a worker process died, the scheduler does not answer, or Dask is not installed.
        """
        jobs = min(self.jobs or available_cores(), len(items))
        if self.scheduler and items:
            return on_dask(self.scheduler, function, items)
        return on_processes(jobs, function, items) if jobs > 1 else map(function, items)


def on_processes(jobs: int, function: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[Outcome]:
    """The map on this machine. Ends with all its processes if it does not end well."""
    threads = str(max(1, available_cores() // jobs))
    limits = {name: threads for name in THREADS if name not in os.environ}
    executor = get_reusable_executor(max_workers=jobs, timeout=IDLE, env=limits)
    try:
        yield from results(executor, function, items)
    except BrokenProcessPool as fault:  # of a worker that was killed
        raise Failed(DIED, remedy=f"{RUN_AGAIN}, with fewer --jobs") from fault
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise


def on_dask(address: str, function: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[Outcome]:
    """The map on a Dask cluster."""
    with connected(address) as client:
        from distributed import CancelledError as Lost
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            yield from results(client.get_executor(pure=False), function, items)  # type: ignore[no-untyped-call]  # Dask's
        except KilledWorker as fault:
            raise Failed(DIED, remedy=f"{RUN_AGAIN}, with more memory for each") from fault
        except (CancelledError, Lost, CommClosedError) as fault:
            problem = f"the Dask scheduler at {address} went away; what was finished is kept"
            raise Failed(problem, remedy=f"start it, {RUN_AGAIN}") from fault


def results(executor: Executor, function: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[Outcome]:
    """Results as they come; each is let go when it has been given."""
    pending = {executor.submit(function, item) for item in items}
    try:
        for future in as_completed(pending):
            pending.discard(future)
            yield future.result()
    finally:
        for future in pending:
            future.cancel()


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A connection to a Dask cluster that has a worker and runs this version of scoresep.

    Raises:
        Unavailable, WrongVersion: Dask is not installed, no scheduler answers, it has no worker, or another version.
    """
    try:
        from distributed import Client
    except ImportError as fault:
        raise Unavailable("--scheduler needs Dask", remedy="pip install distributed") from fault
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised here
    try:
        client = Client(address, timeout=ANSWER)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, RuntimeError) as fault:  # TimeoutError is an OSError
        reason = " ".join(str(fault).split()) or type(fault).__name__
        problem = f"no Dask scheduler answers at {address} ({reason})"
        raise Unavailable(problem, remedy="start `dask scheduler`") from fault
    try:
        check_cluster(client, address)
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]


def check_cluster(client: Client, address: str) -> None:
    """Refuse a cluster that could not do the work, or would do it otherwise."""
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError as fault:
        problem = f"the Dask scheduler at {address} has no worker"
        raise Unavailable(problem, remedy=f"start `dask worker {address}`") from fault
    try:
        versions = {*client.run(installed_version).values(), client.run_on_scheduler(installed_version)}  # type: ignore[no-untyped-call]
    except Exception as fault:  # of any type: whatever keeps the function from being loaded there
        raise Unavailable(
            f"the Dask cluster at {address} cannot load scoresep ({fault})",
            remedy=f"install version {__version__} for its scheduler and its workers",
        ) from fault
    if others := versions - {__version__}:
        raise WrongVersion(
            f"the Dask cluster at {address} has scoresep {', '.join(sorted(others))}, this is {__version__}",
            remedy="install one version everywhere",
        )


def installed_version() -> str:
    """Version of scoresep where this runs."""
    return __version__
