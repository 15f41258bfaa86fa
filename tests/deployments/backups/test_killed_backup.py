"""A worker killed with SIGKILL at every moment of a backup, and of what an upload does more than that."""

from django.core.files.base import ContentFile

from deployments.backups.bundle import Bundle, Choice
from deployments.backups.flows import request_backup, take_in_upload
from deployments.models import Job
from tests.deployments.backups.killing import Scene


def test_a_backup(scene: Scene) -> None:
    scene.kill_at_every_moment(lambda: request_backup(scene.cast.test, scene.by).job, "now", "now")


def test_an_upload(scene: Scene) -> None:
    downloaded = b"".join(Bundle(scene.backed_up("then"), Choice.FULL).read())

    def upload() -> Job | None:
        return take_in_upload(scene.cast.test, scene.by, ContentFile(downloaded, "x")).job

    # What lies between is as of a backup
    for moment in ("stage", "half staged", "take", "half stored"):
        scene.kill_at(moment, upload, "now", "now")
    scene.kill_at_every_moment(upload, "now", "now", since="discard")
