"""What one process finds out, known to all processes of a run."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all

from adamine_jax.base.errors import UserError


def agreed(answer: Callable[[], Any]) -> Any:
    """Asks the first process, and gives its answer to all; each process must call this, at the same point.

    Args:
        answer: called in the first process alone; returns what JSON can hold.

    Raises:
        UserError: it failed in the first process, which raises the error itself.
    """
    if jax.process_count() == 1:
        return answer()
    failure, told = None, {}
    if jax.process_index() == 0:
        try:
            told = {"answer": answer()}
        except Exception as error:
            failure, told = error, {"failure": str(error)}
    message = np.frombuffer(json.dumps(told).encode(), np.uint8)
    length = int(broadcast_one_to_all(np.int32(len(message))))
    told = json.loads(bytes(broadcast_one_to_all(np.resize(message, length))))
    if failure is not None:
        raise failure
    if "failure" in told:
        raise UserError(told["failure"])
    return told["answer"]
