"""Whoever attacks a monitor in `bench control`: connections, noise, too many questions, answers that are not read."""

import os
import socket
import sys
import time
from pathlib import Path

import zmq

from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.address import open_client

HELD_MAX = 1000
NOISE = bytes(range(256)) * 8


def attack(config: Path, runs: Path, core: int) -> None:
    """Attack until killed."""
    os.sched_setaffinity(0, {core})
    known = open_client(config, runs, "bad")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    flood = context.socket(zmq.DEALER)
    flood.linger = 0
    flood.setsockopt(zmq.SNDHWM, 1000)
    flood.curve_publickey, flood.curve_secretkey = known.key.public, known.key.secret
    flood.curve_serverkey = known.key.server
    flood.connect(known.address)
    path, held, number = known.address.removeprefix("ipc://"), [], 0
    print("begun", flush=True)
    while True:
        for _ in range(20):
            number += 1
            question = m.Envelope(
                version=m.VERSION, session=b"", number=number, sent_ns=time.time_ns(), request=m.GetStatus()
            )
            for content in (m.encode(question), NOISE[: number % len(NOISE)]):
                try:
                    flood.send(content, zmq.DONTWAIT)
                except zmq.Again:
                    break
            end = socket.socket(socket.AF_UNIX)
            end.setblocking(False)
            try:
                end.connect(path)
                end.send(NOISE[:10])
            except OSError:
                end.close()
                continue
            held.append(end)
        for end in held[:-HELD_MAX]:
            end.close()
        del held[:-HELD_MAX]


if __name__ == "__main__":
    attack(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
