"""A Ray cluster: joined by its address, or started on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

# To open a connection to the head; an address that does not answer must not keep anybody waiting.
_SECONDS = 10.0


@contextmanager
def connected(address: str | None = None, workers: int | None = None) -> Iterator[None]:
    """Connects this process to Ray in the block. If it already is, that connection is used and stays.

    Args:
        address: The head's, `host:port` or `ray://host:port`, or "auto": the cluster of this machine. None:
            Ray is started on this machine for the time of the block.
        workers: Processors of the Ray that is started here. None: those of the machine.

    Raises:
        ConnectionError: Nobody answers at the address; at the latest after ten seconds.
        ValueError: An address that is none, or `workers` for a cluster that runs already.
    """
    if address is not None and workers is not None:
        raise ValueError("A cluster has the workers that it has: give --address or --workers, not both.")
    if ray.is_initialized():
        yield
        return
    # Ray would send statistics of use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
    else:
        _check_reachable(address)
        try:
            ray.init(address=address, **quiet)
        except (RuntimeError, OSError) as error:
            raise ConnectionError(f"No Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not host or not colon or not port.isdigit():
        raise ValueError(f"An address must be host:port, ray://host:port or auto, not {address!r}.")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"No Ray cluster answers at {address}: {error}. Start one with `ray start --head`, or leave out "
            "--address to use this machine."
        ) from error
