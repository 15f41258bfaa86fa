"""A worker killed with SIGKILL at every moment of a restore."""

import pytest

from deployments.backups.flows import request_restore
from deployments.models import Job
from tests.deployments.backups.killing import SICK, Scene


def test_a_restore(scene: Scene) -> None:
    backup = scene.backed_up("then")
    scene.kill_at_every_moment(lambda: request_restore(scene.cast.test, scene.by, backup, False), "now", "then")


@pytest.mark.parametrize("moment", ["keep", "half stored", "half staged", "rename to data"])
def test_a_restore_that_saves_first_what_it_overwrites(scene: Scene, moment: str) -> None:
    backup = scene.backed_up("then")
    scene.kill_at(moment, lambda: request_restore(scene.cast.test, scene.by, backup), "now", "then")


def test_a_restore_of_what_is_stopped(scene: Scene) -> None:
    backup = scene.backed_up("then")
    scene.stop()
    scene.kill_at_every_moment(lambda: request_restore(scene.cast.test, scene.by, backup, False), "now", "then", "swap")


def test_a_restore_that_is_taken_back(scene: Scene) -> None:
    backup = scene.backed_up(SICK)
    scene.kill_at_every_moment(lambda: request_restore(scene.cast.test, scene.by, backup, False), "now", SICK, "start")


def test_a_restore_whose_remains_are_put_right_by_workers_that_are_killed_as_well(scene: Scene) -> None:
    backup = scene.backed_up("then")

    def ask() -> Job:
        return request_restore(scene.cast.test, scene.by, backup, False)

    scene.kill_at_every_moment(ask, "now", "then", already_at="decide")
