"""XLA flags for tests: no optimisation, because tiny networks take longer to compile than to run."""

import functools
import os
import subprocess
import sys

_QUICK = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")
_START = "import jaxlib.xla_client; jaxlib.xla_client.make_cpu_client()"


def flags(devices: int) -> str:
    """Returns `XLA_FLAGS` for a process with this number of virtual devices."""
    return " ".join([f"--xla_force_host_platform_device_count={devices}", *filter(_is_supported, _QUICK)])


@functools.cache
def _is_supported(flag: str) -> bool:
    """Whether the installed XLA accepts a flag; an unknown flag aborts the process."""
    environment = os.environ | {"XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"}
    return subprocess.run([sys.executable, "-c", _START], env=environment, capture_output=True).returncode == 0
