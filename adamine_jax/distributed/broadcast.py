"""Values that process 0 computes for all processes of a run."""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all

from adamine_jax.base.errors import UserError, shown


def run_on_first(function: Callable[[], Any]) -> Any:
    """Calls a function in process 0 and returns its JSON-compatible result in all processes, which must all call this.

    Raises:
        UserError: The function failed; process 0 raises the original error instead.
    """
    if jax.process_count() == 1:
        return function()
    failure, outcome = None, {}
    if jax.process_index() == 0:
        try:
            outcome = {"result": function()}
        except Exception as error:
            failure, outcome = error, {"failure": shown(error)}
    message = np.frombuffer(json.dumps(outcome).encode(), np.uint8)
    length = int(broadcast_one_to_all(np.int32(len(message))))
    outcome = json.loads(bytes(broadcast_one_to_all(np.resize(message, length))))
    if failure is not None:
        raise failure
    if "failure" in outcome:
        raise UserError(outcome["failure"])
    return outcome["result"]
