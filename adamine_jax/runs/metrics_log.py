"""Training and evaluation metrics, written to `metrics.jsonl` and as TensorBoard events."""

import json
from pathlib import Path

from adamine_jax.base import files, storage
from adamine_jax.base.errors import UserError


class MetricsLog:
    """Appends to `<workdir>/metrics.jsonl` and to a new TensorBoard event file.

    When a run resumes, opening the log drops a truncated last line, the lines after the checkpoint, whose steps are
    repeated, and the lines of the test. Event files are not changed: the first event of the new file tells TensorBoard
    which steps of the older ones to ignore.

    Args:
        workdir: Workdir of the run.
        step: Step of the checkpoint to resume from, 0 at the start of a run.
        is_validated: Whether that checkpoint has been validated; otherwise its validation is repeated.

    Raises:
        OSError: The disk is full; earlier lines are kept.
    """

    def __init__(self, workdir: Path, step: int, is_validated: bool = True):
        # Imported here because tensorboardX imports PyTorch if it is installed, which takes seconds.
        from adamine_jax.runs.event_file import EventFile

        self._path = workdir / "metrics.jsonl"

        def is_kept(line: dict) -> bool:
            is_repeated = line["split"] == "val" and line["step"] == step and not is_validated
            return 0 < line["step"] <= step and line["split"] != "test" and not is_repeated

        kept = [line for line in read_metrics(self._path) if is_kept(line)]
        files.write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 – stays open during the run
        self._events = EventFile(workdir, first_step=step + 1)

    def write(self, step: int, epoch: int, split: str, metrics: dict[str, float]) -> None:
        """Writes the metrics of `split` after `step` steps, and synchronizes them to disk; `epoch` counts from 0.

        Raises:
            OSError: The disk is full; a truncated line is ignored when the file is read.
        """
        line = json.dumps({"step": step, "epoch": epoch, "split": split, **metrics}) + "\n"
        with files.named_errors(self._path):
            files.append(self._file, line.encode())
        self._events.write(step, {f"{split}/{name}": value for name, value in metrics.items()})

    def publish(self) -> None:
        """Uploads the files, if the workdir is in an object store; called before a checkpoint is saved there."""
        storage.publish(self._path)
        storage.publish(self._events.path)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        self._events.close()
        self.publish()


def read_metrics(path: Path) -> list[dict]:
    """Reads the lines of a `metrics.jsonl`, except a truncated last line; returns no lines if the file is missing.

    Raises:
        UserError: A line is malformed.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")[:-1]  # without the truncated line after the last newline
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"], row["split"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number}: malformed; delete the line or choose another workdir") from None
        rows.append(row)
    return rows
