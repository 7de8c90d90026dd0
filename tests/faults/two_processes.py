"""One of two processes that share checkpoints: python -m tests.faults.two_processes PORT NUMBER WORKDIR

Both print the same on stdout; process 0 alone reports damaged checkpoints on stderr.
"""

import resource
import sys
from pathlib import Path

import jax


def main() -> None:
    port, number, workdir = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=number)
    from jax.experimental.multihost_utils import sync_global_devices

    from adamine_jax.checkpoints.manager import Checkpoints
    from tests.test_checkpoints import MESH, assert_is, damage, state_of

    assert jax.process_count() == 2
    assert MESH.size == 2 * jax.local_device_count()

    checkpoints = Checkpoints(workdir)
    assert checkpoints.latest_step() is None
    for step, score in {1: 9.0, 2: 5.0, 3: None, 4: 6.0}.items():
        checkpoints.save(state_of(step), score and {"r1": score})
    checkpoints.close()
    print(checkpoints.latest_step(), checkpoints.best_step())

    read_only = Checkpoints(workdir, read_only=True)
    print(read_only.latest_step(), read_only.best_step())
    restored = read_only.restore(1, jax.eval_shape(lambda: state_of(0)), MESH)
    assert restored.step.sharding.device_set == set(jax.devices())
    assert_is(restored, 1)

    sync_global_devices("before the damage")
    if number == 0:
        damage(workdir / "checkpoints", 4)
    checkpoints = Checkpoints(workdir)
    print(checkpoints.latest_step(), checkpoints.best_step())
    assert_is(checkpoints.restore(3, jax.eval_shape(lambda: state_of(0)), MESH), 3)

    if number == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
    checkpoints.save(state_of(4))
    try:
        checkpoints.save(state_of(5))
    except Exception as error:  # an OSError in process 0, a UserError in the other
        print(error)
    checkpoints.close()
    if number == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for step in (1, 3):
            damage(workdir / "checkpoints", step)
    try:
        Checkpoints(workdir)
    except Exception as error:
        print(error)


if __name__ == "__main__":
    main()
