"""Who does the work of a map: the cores of this machine, or a Dask cluster.
joblib runs the processes of this machine. Dask is asked directly: joblib's way to it waits forever once a worker has
died of a task (its Dask backend never hands such a fault on).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import joblib

from scoresep import __version__
from scoresep.errors import ScoresepError
from scoresep.machine import available_cores

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")

ANSWER = 20.0
"""Seconds that a Dask scheduler has to answer, and then its first worker to appear."""
DIED = "a worker process died, perhaps for lack of memory; what was finished is kept: run the same command again, with "


@dataclass(frozen=True)
class Engine:
    """Where work runs.

    Attributes:
        jobs: processes on this machine; 0 for one a core.
        scheduler: address of a Dask scheduler, such as tcp://node1:8786, whose workers see the same files; '' for
            this machine.
    """

    jobs: int = 0
    scheduler: str = ""

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results of `function`, as they come. What one call raises ends the map.

        Raises:
            ScoresepError: a worker process died, the scheduler does not answer, or Dask is not installed.
        """
        if not items:
            return iter(())
        if self.scheduler:
            return on_dask(self.scheduler, function, items)
        return on_processes(self.jobs or available_cores(), function, items)


def on_processes(jobs: int, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The map on this machine; one job runs in this very process."""
    parallel = joblib.Parallel(
        jobs, backend="loky", return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1
    )
    with environment("PYTHONWARNINGS", "ignore:resource_tracker"):  # warnings of what a killed worker leaves behind
        try:
            yield from parallel(joblib.delayed(function)(item) for item in items)
        except BrokenProcessPool as fault:  # of a worker that was killed
            raise ScoresepError(f"{DIED}fewer --jobs") from fault


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable, if it is not set, for the processes that are started meanwhile."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


def on_dask(address: str, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The map on a Dask cluster."""
    with connected(address) as client:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        futures = client.map(function, items, pure=False)
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as fault:
            raise ScoresepError(f"{DIED}more memory for each") from fault
        except (CancelledError, CommClosedError) as fault:
            raise ScoresepError(
                f"the Dask scheduler at {address} went away; what was finished is kept: start it, run the same command "
                "again"
            ) from fault


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A connection to a Dask cluster that has a worker and runs this version of scoresep.

    Raises:
        ScoresepError: Dask is not installed, no scheduler answers, it has no worker, or another version.
    """
    try:
        from distributed import Client
    except ImportError as fault:
        raise ScoresepError("--scheduler needs Dask; pip install distributed") from fault
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised here
    try:
        client = Client(address, timeout=ANSWER)
    except (OSError, ValueError, RuntimeError) as fault:  # TimeoutError is an OSError
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise ScoresepError(f"no Dask scheduler answers at {address} ({reason}); start `dask scheduler`") from fault
    try:
        check_cluster(client, address)
        yield client
    finally:
        client.close()


def check_cluster(client: Client, address: str) -> None:
    """Refuse a cluster that could not do the work, or would do it otherwise."""
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError as fault:
        raise ScoresepError(f"the Dask scheduler at {address} has no worker; start `dask worker {address}`") from fault
    try:
        versions = {*client.run(own_version).values(), client.run_on_scheduler(own_version)}
    except Exception as fault:  # of any type: whatever keeps the function from being loaded there
        raise ScoresepError(
            f"the Dask cluster at {address} cannot load scoresep ({fault}); install version {__version__} for its "
            "scheduler and its workers"
        ) from fault
    if others := versions - {__version__}:
        raise ScoresepError(
            f"the Dask cluster at {address} has scoresep {', '.join(sorted(others))}, this is {__version__}; "
            "install one version everywhere"
        )


def own_version() -> str:
    """Version of scoresep where this runs."""
    return __version__
