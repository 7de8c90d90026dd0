"""On what a result was measured: processor or accelerator, versions, date."""

import datetime
import os
import platform

import flax
import jax


def describe_machine() -> str:
    """One sentence for the head of a results page."""
    device = jax.devices()[0]
    kind = device.device_kind if device.platform != "cpu" else _processor()
    count = len(jax.devices()) if device.platform != "cpu" else os.cpu_count()
    return (
        f"Measured on {datetime.date.today():%Y-%m-%d}: {count} × {kind}, Python {platform.python_version()}, "
        f"jax {jax.__version__}, flax {flax.__version__}."
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name")) + " core"
    except (OSError, StopIteration):
        return f"{platform.machine()} core"
