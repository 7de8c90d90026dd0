"""Two processes share the checkpoints of a workdir: process 0 writes, and both see the same state."""

import os
import socket
import subprocess
import sys

from tests import xla
from tests.faults.runs import ROOT


def test_two_processes_agree(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"XLA_FLAGS": xla.flags(2)}
    command = [sys.executable, "-m", "tests.faults.two_processes", str(port)]
    processes = [
        subprocess.Popen(
            [*command, str(number), str(tmp_path)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    printed, errors = zip(*(process.communicate() for process in processes), strict=True)
    assert [process.returncode for process in processes] == [0, 0], errors
    folder = tmp_path / "checkpoints"
    # Gloo prints from several threads, so that its lines may be broken.
    gloo = ("[Gloo]", "peer ranks")
    printed = [[line for line in text.splitlines() if not any(mark in line for mark in gloo)] for text in printed]
    assert printed[0] == printed[1]
    assert printed[0] == [
        "4 1",
        "4 1",
        "3 1",
        f"[Errno 27] File too large: '{folder}/4.unfinished'",
        f"{folder}: all checkpoints are damaged (3/model/_METADATA: wrong checksum; 1/model/_METADATA: wrong "
        "checksum; 4.damaged); choose another workdir, or delete this folder to restart training from the beginning",
    ]
    assert (
        sum(
            f"{folder}/4/model/_METADATA: wrong checksum; renamed the checkpoint to 4.damaged" in line
            for line in errors
        )
        == 1
    )
    assert sorted(os.listdir(folder)) == ["1", "3", "4.damaged"]
