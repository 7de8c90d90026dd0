import multiprocessing
import threading

import pytest

from data_builders.recipe1m.workers import Workers


def wait_forever(_):
    threading.Event().wait()


def double(number):
    return 2 * number


def interrupted(folder):
    with Workers(2, folder) as workers:
        assert list(workers.map(double, range(20))) == list(range(0, 40, 2))
        workers.map(wait_forever, [None, None])
        raise KeyboardInterrupt


def test_what_is_interrupted_does_not_wait_for_what_is_under_way(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("processes", [1, 2])
def test_two_kinds_of_work_may_be_under_way_at_once(tmp_path, processes):
    with Workers(processes, tmp_path) as workers:
        later, sooner = workers.map(double, range(30)), workers.map(str, range(30))
        assert list(sooner) == [str(number) for number in range(30)]
        assert list(later) == list(range(0, 60, 2))
    assert list(tmp_path.iterdir()) == []
