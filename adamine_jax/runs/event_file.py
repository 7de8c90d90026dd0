"""A file of TensorBoard events, written at once and not by a thread: what a killed run has measured is there."""

import socket
import struct
import time
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar

from adamine_jax.base import files


class EventFile:
    """Appends to a new file `events.out.tfevents.*`, whose first events tell TensorBoard where it takes over.

    Args:
        folder: that TensorBoard is given.
        first_step: what older files hold of this step and later ones no longer counts.
    """

    def __init__(self, folder: Path, first_step: int):
        # TensorBoard reads the files in the order of their names; two runs may begin in the same second.
        now = time.time_ns()
        self._path = folder / f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}"
        self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 – it stays open for the whole run
        start = SessionLog(status=SessionLog.START)
        self._append(Event(file_version="brain.Event:2"), Event(step=first_step, session_log=start))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes an event for each value, and makes sure that they are on the disk.

        Args:
            step: of the values.
            values: tag → number.
        """
        self._append(*(Event(step=step, summary=scalar(tag, value)) for tag, value in values.items()))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _append(self, *events: Event) -> None:
        with files.named_errors(self._path):
            files.append(self._file, b"".join(_record(event) for event in events))


def _record(event: Event) -> bytes:
    """The event as a TFRecord: its length and itself, each with its checksum."""
    event.wall_time = time.time()
    payload = event.SerializeToString()
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _checksum(length), payload, _checksum(payload)))


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(content))
