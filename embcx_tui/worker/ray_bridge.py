"""The bridge to a Ray cluster: the process `python -m embcx_tui.worker ray DEVICE DEVICES`, a worker's own.

It alone knows Ray. For each channel that its worker opens it makes an actor, which starts a hand on a machine of the
cluster, and passes bytes on between the two. The cluster must be running and must ask for a token.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray import exceptions

try:  # Ray's own, which another version may not have: without them nothing tells whether a cluster asks for a token
    from ray._private import services
    from ray._raylet import AuthenticationTokenLoader, Config, GcsClient
except ImportError:
    services = None

from embcx_tui.study.errors import EmbcxError, RequestError
from embcx_tui.study.text import safe_text
from embcx_tui.worker.channels import Channel, Channels
from embcx_tui.worker.child import begin_child
from embcx_tui.worker.frames import Failure, Kind
from embcx_tui.worker.pipe_link import PipeLink
from embcx_tui.worker.ray_actor import HandRelay

# How long a hand waits for a GPU, or cores, of the cluster that others have or a lost machine had.
ROOM_S = 60.0
_PULSE_S = 5.0
_ANSWER_S = 5.0
_START = "start one with: ray start --head (docs/many.md), and run this on one of its machines"


@dataclass(frozen=True, slots=True)
class Room:
    """What the hands of a study get of a cluster: how many there are, on what ("cuda", "cpu"), and how many cores each;
    `note` where that is less than was asked for.
    """

    hands: int
    device: str
    cores: int
    note: str = ""


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names or that runs on this machine. Raises RequestError where there is none, or
    where it lets anybody in.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray lets the machines of a cluster import from the folder in which this process runs.
    os.chdir("/")
    if services is None:
        raise RequestError(f"Ray {ray.__version__} cannot tell whether a cluster asks for a token; install Ray 2.60")
    address = _address()
    _demand_token(address)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except Exception as error:
        raise RequestError(f"the Ray cluster at {address} cannot be joined ({_words(error)})") from None


def _address() -> str:
    given = os.environ.get("RAY_ADDRESS", "auto") or "auto"
    if given == "local" or "://" in given:
        raise RequestError(
            f"RAY_ADDRESS is {safe_text(given, 60)}: only a cluster is used that this machine is part of, HOST:PORT"
        )
    address = None
    with suppress(Exception):
        address = services.canonicalize_bootstrap_address("auto")
    if not address or ":" not in address:
        raise RequestError(f"no Ray cluster is running here; {_START}")
    return safe_text(address, 100)


def _demand_token(address: str) -> None:
    """Raise RequestError where the cluster lets in who has no token, or not us."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()  # Ray itself would try for 40 s
        _ask_without_token(address)
    except exceptions.AuthenticationError:
        pass
    except Exception as error:
        raise RequestError(f"the Ray cluster at {address} does not answer ({_words(error)}); {_START}") from None
    else:
        raise RequestError(
            f"the Ray cluster at {address} asks for no token, so anybody who reaches its ports can run programs on it; "
            "start it with RAY_AUTH_MODE=token on every machine (docs/many.md)"
        )
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")
    if not AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        raise RequestError(
            f"the Ray cluster at {address} asks for a token, and there is none here; set RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH to the cluster's"
        )
    try:
        GcsClient(address=address)
    except Exception:
        raise RequestError(
            f"the Ray cluster at {address} does not take this token; set the one it began with"
        ) from None


def _ask_without_token(address: str) -> None:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    Config.initialize("")
    GcsClient(address=address)


def room(nodes: list[dict[str, Any]], device: str, devices: int | str) -> Room:
    """Return what the cluster of these `nodes` (as Ray lists them) has for a study of these settings.

    Raises RequestError where it has nothing.
    """
    alive = [node.get("Resources", {}) for node in nodes if node.get("Alive")]
    gpus = sum(int(node.get("GPU", 0)) for node in alive)
    if device != "cpu" and gpus:
        hands = gpus if devices == "all" else min(int(devices), gpus)
        note = f"machine.devices is {devices}, and the cluster has {gpus} GPU(s): computing on those"
        return Room(hands, "cuda", 0, note if devices != "all" and hands < int(devices) else "")
    if device == "cuda":
        raise RequestError("machine.device is cuda, and the Ray cluster has no GPU")
    cpus = [cores for node in alive if (cores := int(node.get("CPU", 0)))]
    if not cpus:
        raise RequestError("the Ray cluster has no processor cores to give")
    wanted = len(cpus) if devices == "all" else int(devices)
    hands = min(wanted, sum(cpus))
    # The most that as many hands can have each, none of them on two machines.
    cores = max(one for one in range(1, max(cpus) + 1) if sum(own // one for own in cpus) >= hands)
    note = f"machine.devices is {wanted}, and the cluster has {hands} processor cores: a hand on each"
    return Room(hands, "cpu", cores, note if hands < wanted else "")


def look(device: str, devices: str) -> dict[str, Any]:
    """Return how many hands the running cluster has room for; raises RequestError."""
    connect()
    try:
        return {"hands": room(ray.nodes(), device, devices if devices == "all" else int(devices)).hands}
    finally:
        ray.shutdown()


class Bridge:
    """Makes an actor of each channel of `channels`."""

    def __init__(self, found: Room) -> None:
        self._room = found
        self._class = ray.remote(HandRelay)
        self._lock = threading.Lock()
        self._shares: dict[str, Counter[int]] = {}

    def serve(self, channel: Channel) -> None:
        """Begin to serve a channel, in threads of its own."""
        threading.Thread(target=self._serve, args=(channel,), name=f"hand {channel.greeting}", daemon=True).start()

    def _serve(self, channel: Channel) -> None:
        share: tuple[str, int] | None = None
        actor = self._class.options(
            num_cpus=self._room.cores,
            num_gpus=int(self._room.device == "cuda"),
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,  # put and take at the same time
        ).remote(int(channel.greeting), self._room.device)
        channel.on_end = lambda: _kill(actor)
        if channel.ended.is_set():
            _kill(actor)
        host = ""
        try:
            node, host = self._await_room(actor, channel)
            share = self._take_share(node)
            ray.get(actor.begin.remote(share[1], self._shares_of(node), self._room.cores))
            threading.Thread(target=self._feed, args=(actor, channel), daemon=True).start()
            while data := ray.get(actor.take.remote()):
                channel.write(data)
            reason = ray.get(actor.how_it_ended.remote())
        except exceptions.GetTimeoutError:
            what = "a GPU" if self._room.device == "cuda" else f"{self._room.cores} core(s)"
            failure = Failure(reason=f"the cluster has not had {what} free for it for {ROOM_S:g} s", final=True)
            with suppress(OSError):
                channel.send(Kind.FAILED, failure.model_dump_json().encode())
            reason = failure.reason
        except Exception as error:  # whatever it is: it is lost, and the worker lets another one try
            reason = f"its Ray actor{f' on {host}' if host else ''} is gone ({_words(error)})"
        channel.end(reason)
        _kill(actor)
        if share:
            with self._lock:
                self._shares[share[0]][share[1]] -= 1

    def _await_room(self, actor: Any, channel: Channel) -> tuple[str, str]:
        """Return the node that an actor is on, once it is, and the name of its machine."""
        deadline = time.monotonic() + ROOM_S
        asked = actor.where.remote()
        while True:
            try:
                node, host = ray.get(asked, timeout=_PULSE_S)
            except exceptions.GetTimeoutError:
                if time.monotonic() > deadline:
                    raise
                channel.send(Kind.PULSE)
            else:
                return safe_text(node, 100), safe_text(host, 60)

    def _feed(self, actor: Any, channel: Channel) -> None:
        """Pass on what comes for a hand. One that takes nothing in is given up by the worker."""
        with suppress(Exception):
            while data := channel.read():
                ray.get(actor.put.remote(data))

    def _take_share(self, node: str) -> tuple[str, int]:
        """Return the share of a node's cores that fewest hands have."""
        with self._lock:
            taken = self._shares.setdefault(node, Counter())
            number = min(range(self._shares_of(node)), key=lambda one: taken[one])
            taken[number] += 1
        return node, number

    def _shares_of(self, node: str) -> int:
        resources: Mapping[str, float] = next((one["Resources"] for one in ray.nodes() if one["NodeID"] == node), {})
        if self._room.device == "cuda":
            return max(int(resources.get("GPU", 1)), 1)
        return max(int(resources.get("CPU", 1)) // self._room.cores, 1)


def _kill(actor: Any) -> None:
    with suppress(Exception):
        ray.kill(actor)


def _words(error: Exception) -> str:
    """Return the line of Ray's error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, exceptions.RayTaskError) and lines:
        return safe_text(lines[-1], 300)
    return safe_text(lines[0] if lines else type(error).__name__, 300)


def _ignore_signals() -> None:
    """Leave signals to the worker, at whose end this process ends: whoever signals all of a study's means that."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def run_bridge(device: str, devices: str) -> int:
    """Serve the worker that started this process until it has ended; return the exit code."""
    streams = begin_child()
    if streams is None:
        return 1
    _ignore_signals()
    bridges: list[Bridge] = []
    channels = Channels(PipeLink(*streams), opened=lambda channel: bridges[0].serve(channel))
    try:
        connect()
        found = room(ray.nodes(), device, devices if devices == "all" else int(devices))
    except EmbcxError as error:
        channels.say(json.dumps({"error": str(error)}))
        return 2
    _ignore_signals()  # again: Ray has handlers of its own
    bridges.append(Bridge(found))
    channels.begin()
    facts = {"hands": found.hands, "device": found.device, "cores": found.cores, "note": found.note}
    channels.say(json.dumps(facts))
    channels.gone.wait()
    ray.shutdown()
    return 0
