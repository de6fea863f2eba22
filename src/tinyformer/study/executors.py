"""Where evaluations run: in this process, or on Ray."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tinyformer.errors import MissingExtraError, TinyFormerError

A = TypeVar("A")
R = TypeVar("R")
K = TypeVar("K")


class Executor(Protocol):
    """Runs evaluations, ``slots`` of them at the same time."""

    @property
    def slots(self) -> int:
        """How many evaluations run at the same time."""
        ...

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        """Start ``function(argument)``."""
        ...


class InProcessExecutor:
    """Evaluates at once, here: one after the other, and always the same."""

    slots = 1

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        """Return the future of ``function(argument)``, already done; what the function raises is raised here."""
        future: Future[R] = Future()
        future.set_result(function(argument))
        return future


class RayExecutor:
    """Evaluates on a Ray cluster; use as a context manager.

    ``address`` is that of a cluster, "auto" for the one this machine belongs to, or "local" for one of its own.
    Functions and arguments travel pickled; a function is stored on the cluster once. When a worker dies its
    evaluation is repeated elsewhere, ``retries`` times; an exception that the function raises is not retried.
    Several evaluations share a GPU when each takes a part of one.

    Raises:
        MissingExtraError: Ray is not installed.
        TinyFormerError: there is no cluster at this address, or none of its machines holds an evaluation.
    """

    def __init__(
        self, address: str = "auto", *, cpus_per_evaluation: int = 1, gpus_per_evaluation: float = 0, retries: int = 3
    ) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise MissingExtraError("ray", "ray", "evaluating on many machines") from error
        try:
            self._ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address == "local" else None,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise TinyFormerError(f"Ray at '{address}': {reason}; start it with 'ray start --head'") from error
        self._stored: dict[int, tuple[Callable[..., Any], Any]] = {}
        self._takes = {"CPU": float(cpus_per_evaluation), "GPU": float(gpus_per_evaluation)}
        self._require_room(address)
        self._retries = retries
        self._call = self._ray.remote(
            num_cpus=cpus_per_evaluation, num_gpus=gpus_per_evaluation, max_retries=retries, retry_exceptions=False
        )(_call)

    def _require_room(self, address: str) -> None:
        """Refuse evaluations that no machine of the cluster could ever hold, for which Ray would wait."""
        for kind, takes in self._takes.items():
            most = max((node["Resources"].get(kind, 0) for node in self._ray.nodes() if node["Alive"]), default=0)
            if takes > most:
                self.close()
                raise TinyFormerError(
                    f"Ray at '{address}': an evaluation takes {takes:g} {kind}, the largest machine has {most:g}; "
                    f"give less with --trial-{kind.lower()}s, or add a machine"
                )

    @property
    def slots(self) -> int:
        """How many evaluations the cluster's processors and GPUs hold."""
        has = self._ray.cluster_resources()
        return max(1, min(int(has.get(kind, 0) / takes) for kind, takes in self._takes.items() if takes))

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        """Start ``function(argument)`` on the cluster."""
        if id(function) not in self._stored:
            self._stored[id(function)] = (function, self._ray.put(function))
        future: Future[R] = Future()

        def transfer(remote: Future[R]) -> None:
            error = remote.exception()
            if error is None:
                future.set_result(remote.result())
            else:
                future.set_exception(self._own(error))

        self._call.remote(self._stored[id(function)][1], argument).future().add_done_callback(transfer)
        return future

    def _own(self, error: BaseException) -> BaseException:
        """Return what the function itself raised, or say that its workers died."""
        kinds = self._ray.exceptions
        if isinstance(error, kinds.RayTaskError):
            error = error.cause
        if isinstance(error, (kinds.WorkerCrashedError, kinds.OutOfMemoryError, kinds.NodeDiedError)):
            return TinyFormerError(
                f"Ray: an evaluation's worker died {self._retries + 1} times, most likely for want of memory; "
                "let each evaluation take more processors (--trial-cpus), so that fewer share a machine, then resume"
            )
        if isinstance(error, kinds.RaySystemError):
            return TinyFormerError(
                f"Ray: a worker cannot run an evaluation ({str(error).strip().splitlines()[0]}); "
                "install the same version of tinyformer on every machine of the cluster"
            )
        return error

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _call(function: Callable[[A], R], argument: A) -> R:
    return function(argument)


def completed(executor: Executor, function: Callable[[A], R], work: Iterable[tuple[K, A]]) -> Iterator[tuple[K, A, R]]:
    """Evaluate (key, argument) pairs and yield each with its result, in order of completion.

    ``work`` is consumed only as slots become free, so that a sampler sees all results there are.
    """
    pending: dict[Future[R], tuple[K, A]] = {}
    remaining = iter(work)
    exhausted = False
    while True:
        while not exhausted and len(pending) < executor.slots:
            try:
                key, argument = next(remaining)
            except StopIteration:
                exhausted = True
            else:
                pending[executor.submit(function, argument)] = (key, argument)
        if not pending:
            return
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            key, argument = pending.pop(future)
            yield key, argument, future.result()
