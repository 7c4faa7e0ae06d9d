"""A Ray cluster: the one at an address, or one of this machine alone. Ray is imported when it is needed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from hyperrl_env.checks import check_at_least
from hyperrl_lab.importing import check_extra

# Seconds: to reach the address, and to connect to the cluster there.
_REACH, _CONNECT = 5.0, 45.0
_PROBE = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
_CLIENT_PORT = 10_001


def connect(address: str | None = None, cores: int | None = None) -> None:
    """Connects this process to a Ray cluster, until `ray.shutdown`.

    Args:
        address: The cluster's, as for `ray.init`. None: that of the environment variable RAY_ADDRESS, or a
            new one of this machine alone.
        cores: Of the new one. None: those of the machine.

    Raises:
        ValueError: Ray is not installed, or `cores` for a cluster that has its own.
        ConnectionError: No cluster answers at the address.
    """
    address = _chosen(address, cores)
    import ray

    if address is not None:
        _check_cluster(address)
    # Ray would send statistics of use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    own = {"num_cpus": cores, "include_dashboard": False} if address is None else {}
    ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)


@contextmanager
def connected(address: str | None = None, cores: int | None = None) -> Iterator[None]:
    """Connects this process in the block, as `connect` does. A connection that is there is used and stays."""
    address = _chosen(address, cores)
    import ray

    if ray.is_initialized():
        yield
        return
    connect(address, cores)
    try:
        yield
    finally:
        ray.shutdown()


def _chosen(address: str | None, cores: int | None) -> str | None:
    """The address of the cluster that is meant; see `connect`."""
    check_extra("ray", "ray", "A cluster")
    address = address or os.environ.get("RAY_ADDRESS")
    if cores is not None:
        check_at_least("workers", cores, 1)
        if address is not None:
            raise ValueError(
                f"The cluster at {address} has its own workers: give --address or --workers, not both."
            )
    return address


def _check_cluster(address: str) -> None:
    """Raises ConnectionError unless a Ray cluster answers; Ray itself would wait for minutes."""
    place = urlsplit(address if "//" in address else f"//{address}")
    problem = f"No Ray cluster answers at {address!r}"
    advice = "Start one with `ray start --head`, which prints its address, or check the address."
    if place.hostname not in (None, "auto", "local"):
        try:
            port = place.port or _CLIENT_PORT
            socket.create_connection((place.hostname, port), timeout=_REACH).close()
        except (OSError, ValueError) as error:
            raise ConnectionError(f"{problem}: {error}. {advice}") from None
    # Something else may have answered; and a process that waits can be ended.
    probe = [sys.executable, "-c", _PROBE, address]
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(probe, capture_output=True, text=True, timeout=_CONNECT, check=False)
        if done.returncode == 0:
            return
        problem += f": {done.stderr.strip().rpartition(chr(10))[2].removesuffix('.')}"
    raise ConnectionError(f"{problem}. {advice}")
