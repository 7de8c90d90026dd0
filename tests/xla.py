"""How the tests compile: with no optimisation, for tiny nets take longer to compile than to run."""

QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
"""For `XLA_FLAGS`."""


def flags(devices: int) -> str:
    """`XLA_FLAGS` for a process with so many virtual devices."""
    return f"--xla_force_host_platform_device_count={devices} {QUICK}"
