"""TensorBoard events, synchronized to disk as they are written, so that a killed run loses none.

tensorboardX's `SummaryWriter` is not used because it writes from a thread: a kill loses its queue, and the error of a
full disk does not reach the training loop.
"""

import socket
import time
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from adamine_jax.base import files


class EventFile:
    """A new file `events.out.tfevents.*`.

    Args:
        folder: Log directory of TensorBoard.
        first_step: Step from which TensorBoard ignores the events of older files.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path, first_step: int):
        # TensorBoard reads files in the order of their names; two runs may start within the same second.
        now = time.time_ns()
        self.path = folder / f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}"
        self._writer = RecordWriter(str(self.path))
        start = SessionLog(status=SessionLog.START)
        self._append(Event(file_version="brain.Event:2"), Event(step=first_step, session_log=start))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes an event for each value by tag, and synchronizes the file to disk."""
        self._append(*(Event(step=step, summary=scalar(tag, value)) for tag, value in values.items()))

    def close(self) -> None:
        """Closes the file."""
        with files.named_errors(self.path):
            self._writer.close()

    def _append(self, *events: Event) -> None:
        with files.named_errors(self.path):
            for event in events:
                event.wall_time = time.time()
                self._writer.write(event.SerializeToString())
            self._writer.flush()  # also calls fsync
