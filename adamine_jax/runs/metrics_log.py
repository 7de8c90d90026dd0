"""What a run has measured, as lines of `metrics.jsonl` and as TensorBoard events."""

import json
from pathlib import Path

from adamine_jax.base import files
from adamine_jax.base.errors import UserError


class MetricsLog:
    """Appends to `<workdir>/metrics.jsonl`, and to an event file of its own beside it.

    Opening it drops what an interrupted run wrote after the checkpoint that training goes on from, and a line cut in
    half: those steps are computed and written again, so that no line is ever there twice. The lines about the test go
    too, since it follows the last checkpoint. Event files stay as they are: the new one begins with the event that
    tells TensorBoard which steps of the older ones no longer count.

    Args:
        workdir: of the run.
        step: of the checkpoint from which the run goes on, 0 at its start.
        is_validated: whether that checkpoint has been validated; otherwise it will be, and written about, again.

    Raises:
        OSError: the disk is full; what was measured up to now stays.
    """

    def __init__(self, workdir: Path, step: int, is_validated: bool = True):
        # Not needed to read a log: tensorboardX imports PyTorch where there is one, which takes seconds.
        from adamine_jax.runs.event_file import EventFile

        self._path = workdir / "metrics.jsonl"

        def is_kept(line: dict) -> bool:
            is_again = line["split"] == "val" and line["step"] == step and not is_validated
            return 0 < line["step"] <= step and line["split"] != "test" and not is_again

        kept = [line for line in read_metrics(self._path) if is_kept(line)]
        files.write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 – it stays open for the whole run
        self._events = EventFile(workdir, first_step=step + 1)

    def write(self, step: int, epoch: int, split: str, metrics: dict[str, float]) -> None:
        """Writes one line and its events, and makes sure that they are on the disk.

        Args:
            step: steps done, from the start of training.
            epoch: number of the epoch, from 0.
            split: 'train', 'val' or 'test'.
            metrics: name → number.

        Raises:
            OSError: the disk is full; a half of the line that it took is not read.
        """
        line = json.dumps({"step": step, "epoch": epoch, "split": split, **metrics}) + "\n"
        with files.named_errors(self._path):
            files.append(self._file, line.encode())
        self._events.write(step, {f"{split}/{name}": value for name, value in metrics.items()})

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        self._events.close()


def read_metrics(path: Path) -> list[dict]:
    """Reads the lines of a `metrics.jsonl`, without a last one that was cut in half; no file, no lines.

    Raises:
        UserError: another line is damaged.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")[:-1]  # what follows the last newline was cut in half
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"], row["split"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}, line {number}: not a line of metrics; remove it or take another workdir"
            ) from None
        rows.append(row)
    return rows
