"""Backups and restores as jobs: what they do, what they say, what is left when they fail."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile

from accounts.actor import Actor
from accounts.models import Activity
from deployments.backups.bundle import Bundle, Choice
from deployments.backups.flows import request_backup, request_nightly, request_restore, take_in_upload
from deployments.errors import AlreadyAsked, NoRoom, Refused
from deployments.flows import cancel_job, request_job, request_transport
from deployments.models import Backup, Job, Live, ProductionData
from deployments.runtimes.base import Instance, Part
from deployments.states import JobKind
from environments.authority import NotPermitted
from environments.permissions import Permission
from tests.cast import Cast
from tests.deployments.backups.memory import FIRST
from tests.deployments.backups.stage import backed_up, may_all, on, restored, stored_of, work
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def steps_of(job: Job) -> list[tuple[str, str]]:
    return [(step.name, step.state) for step in job.steps.all()]


def whole(backup: Backup, choice: Choice = Choice.FULL) -> bytes:
    return b"".join(Bundle(backup, choice).read())


def test_a_backup_saves_database_and_files_and_was_restored_aside(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "what the app keeps")
    backup = backed_up(cast, runtime, cast.test)
    assert (backup.number, backup.kind, backup.creator_name, backup.comment) == (1, "manual", "Alice", "by hand")
    assert (backup.version, backup.package_name) == ("1.0.0", "calc 1.0.0")
    assert whole(backup, Choice.DATABASE) == runtime.content(cast.test.pk)[Part.DATABASE]
    assert whole(backup, Choice.FILES) == FIRST[Part.FILES]
    assert backup.verified_at is not None
    assert runtime.aside() == []
    job = backup.job
    assert job is not None
    assert steps_of(job) == [(name, "done") for name in ("check", "database", "files", "verify")]
    assert job.result == "Backup 1 of Test is there."
    assert stored_of(cast) == [f"{backup.key}/database.sqlite3", f"{backup.key}/files.tar"]
    said = list(Activity.objects.filter(environment_id=cast.test.pk).values_list("act", flat=True)[:2])
    assert sorted(said) == ["job.backup-asked", "job.done"]


def test_an_app_without_a_database_has_a_backup_without_one(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    runtime.data[cast.test.pk] = {**FIRST, Part.DATABASE: b""}
    backup = backed_up(cast, runtime, cast.test)
    assert (backup.database.name, backup.database_size, backup.holds) == ("", 0, "full")
    runtime.write(cast.test.pk, "new")
    assert restored(runtime, cast.test, Actor(cast.alice), backup).state == "done"
    assert runtime.content(cast.test.pk)[Part.DATABASE] == b""


def test_a_backup_that_fails_says_why_and_leaves_nothing(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    runtime.spoiled.add(cast.test.pk)
    backup = request_backup(cast.test, Actor(cast.alice))
    work(runtime)
    backup.refresh_from_db()
    assert backup.state == "failed"
    assert "database disk image is malformed" in backup.reason
    assert stored_of(cast) == []


@pytest.mark.parametrize("call", ["take", "stage"])
def test_one_that_can_not_be_restored_aside_is_none(cast: Cast, runtime: FakeRuntime, call: str) -> None:
    on(cast, runtime, cast.test)
    runtime.failing.add(call)
    backup = request_backup(cast.test, Actor(cast.alice))
    work(runtime)
    backup.refresh_from_db()
    assert (backup.state, backup.verified_at, stored_of(cast)) == ("failed", None, [])


def test_a_full_disk_is_said_and_leaves_nothing(cast: Cast, runtime: FakeRuntime, settings: Any) -> None:
    on(cast, runtime, cast.test)
    settings.DISK_RESERVE_BYTES = 2**62
    backup = request_backup(cast.test, Actor(cast.alice))
    work(runtime)
    backup.refresh_from_db()
    assert backup.state == "failed"
    assert backup.reason.startswith("There is not enough room on the portal's disk.")
    assert stored_of(cast) == []
    with pytest.raises(NoRoom):
        take_in_upload(cast.test, Actor(cast.alice), ContentFile(FIRST[Part.DATABASE], "x.sqlite3"))


def test_one_is_asked_for_once_and_not_on_an_empty_environment(cast: Cast, runtime: FakeRuntime) -> None:
    with pytest.raises(Refused, match="nothing to back up"):
        request_backup(cast.test, Actor(cast.alice))
    on(cast, runtime, cast.test)
    request_backup(cast.test, Actor(cast.alice))
    with pytest.raises(AlreadyAsked, match="Back up Test"):
        request_backup(cast.test, Actor(cast.alice))
    assert Backup.objects.count() == 1


def test_one_is_cancelled_while_it_waits(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    backup = request_backup(cast.test, Actor(cast.alice))
    assert backup.job is not None
    cancel_job(cast.test, Actor(cast.alice), backup.job.number)
    backup.refresh_from_db()
    assert (backup.state, backup.reason) == ("failed", "Cancelled by Alice. Nothing was changed.")


def test_a_backup_does_not_change_what_waits_behind_it(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    request_backup(cast.test, Actor(cast.alice))
    stop = request_job(JobKind.STOP, cast.test, Actor(cast.alice))
    work(runtime)
    assert work(runtime, stop).state == "done"  # type: ignore[union-attr]
    backed_up(cast, runtime, cast.test)
    assert Live.objects.get(environment=cast.test).state == "stopped"


def test_a_restore_brings_the_data_back_and_saves_what_it_overwrites(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "then")
    backup = backed_up(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "now")
    job = restored(runtime, cast.test, Actor(cast.alice), backup)
    assert job.result == "Test has the data of backup 1 of Test now. calc 1.0.0 runs with them."
    assert [name for name, _ in steps_of(job)] == ["check", "stop", "backup", "stage", "swap", "start", "health"]
    assert runtime.read(cast.test.pk) == "then"
    assert runtime.aside() == []
    assert runtime.hosts[cast.test.host] == Instance(cast.test.pk, 1)
    safety = Backup.objects.get(kind="safety")
    assert (safety.state, safety.comment) == ("completed", "Before backup 1 of Test was restored")
    restored(runtime, cast.test, Actor(cast.alice), safety, first=False)
    assert runtime.read(cast.test.pk) == "now"
    assert Backup.objects.count() == 2
    assert "Backup 1 of Test, taken on" in job.note


def test_an_environment_that_is_stopped_stays_stopped(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    request_job(JobKind.STOP, cast.test, Actor(cast.alice))
    work(runtime)
    runtime.write(cast.test.pk, "now")
    job = restored(runtime, cast.test, Actor(cast.alice), backup)
    assert dict(steps_of(job))["start"] == "skipped"
    assert runtime.instances() == []
    assert runtime.content(cast.test.pk) == FIRST
    assert Live.objects.get(environment=cast.test).state == "stopped"


@pytest.mark.parametrize("call", ["stage", "swap", "start", "stop", "take"])
def test_a_restore_that_fails_leaves_everything_as_it_was(cast: Cast, runtime: FakeRuntime, call: str) -> None:
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "now")
    request_restore(cast.test, Actor(cast.alice), backup)
    once(runtime, call)
    job = work(runtime, Job.objects.get(kind="restore"))
    assert job is not None
    assert (job.state, runtime.read(cast.test.pk), runtime.aside()) == ("failed", "now", [])
    assert "The data are as they were. calc 1.0.0 keeps running." in job.result
    assert runtime.hosts[cast.test.host] == Instance(cast.test.pk, 1)
    assert runtime.instances() == [Instance(cast.test.pk, 1)]


def once(runtime: FakeRuntime, call: str) -> None:
    """Let the next call fail, and only that."""
    method: Callable[..., Any] = getattr(runtime, call)

    def fail(*args: Any, **kwargs: Any) -> Any:
        setattr(runtime, call, method)
        runtime.failing.add(call)
        try:
            return method(*args, **kwargs)
        finally:
            runtime.failing.discard(call)

    setattr(runtime, call, fail)


def test_an_app_that_is_not_healthy_with_the_data_gets_its_own_back(
    cast: Cast, runtime: FakeRuntime, settings: Any
) -> None:
    settings.HEALTH_PATIENCE = 0
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "now")
    check = runtime.check

    def sick_with_it(*args: Any) -> Any:
        runtime.sick = {"python3 app.py"} if runtime.content(cast.test.pk) == FIRST else set()
        return check(*args)

    runtime.check = sick_with_it  # type: ignore[method-assign, assignment]
    job = restored(runtime, cast.test, Actor(cast.alice), backup)
    assert job.state == "failed"
    assert "did not get healthy" in job.result
    assert runtime.read(cast.test.pk) == "now"
    assert runtime.instances() == [Instance(cast.test.pk, 1)]


def test_another_version_is_said(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test, "1.0.0")
    backup = backed_up(cast, runtime, cast.test)
    on(cast, runtime, cast.test, "2.0.0")
    job = restored(runtime, cast.test, Actor(cast.alice), backup)
    assert job.steps.get(name="check").output == "The backup was made with calc 1.0.0; calc 2.0.0 is on Test."


def test_a_transport_to_production_backs_up_first_unless_it_is_told_not_to(cast: Cast, runtime: FakeRuntime) -> None:
    alice = actor_with_window(cast.alice)
    first, second = (make_package(cast.app, cast.alice, version) for version in ("1", "2"))
    job = work(runtime, request_job(JobKind.TRANSPORT, cast.production, alice, first))
    assert job is not None
    assert dict(steps_of(job))["backup"] == "skipped"
    job = work(runtime, request_transport(cast.production, alice, second, "", {}, 0))
    assert job is not None
    assert [name for name, _ in steps_of(job)][:4] == ["check", "unpack", "backup", "start"]
    backup = Backup.objects.get()
    assert (backup.kind, backup.state, backup.version) == ("transport", "completed", "1")
    assert backup.from_production
    job = work(runtime, request_transport(cast.production, alice, first, "", {}, 0, back_up=False))
    assert job is not None
    assert (job.state, "backup" in dict(steps_of(job)), Backup.objects.count()) == ("done", False, 1)
    job = work(runtime, request_job(JobKind.TRANSPORT, cast.test, alice, first))
    assert job is not None
    assert "backup" not in dict(steps_of(job))


def test_a_transport_without_the_backup_it_wants_changes_nothing(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.production)
    runtime.spoiled.add(cast.production.pk)
    package = make_package(cast.app, cast.alice, "2")
    job = work(runtime, request_job(JobKind.TRANSPORT, cast.production, actor_with_window(cast.alice), package))
    assert job is not None
    assert job.state == "failed"
    assert job.result.endswith("calc 1.0.0 keeps running.")
    assert Backup.objects.get().state == "failed"


def upload(cast: Cast, runtime: FakeRuntime, content: bytes, by: Actor | None = None) -> Backup:
    backup = take_in_upload(cast.test, by or Actor(cast.alice), ContentFile(content, "../x"), "from home")
    work(runtime)
    backup.refresh_from_db()
    return backup


def test_what_was_downloaded_is_taken_in_again_and_restored(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "then")
    backup = backed_up(cast, runtime, cast.test)
    downloaded = whole(backup)
    runtime.write(cast.test.pk, "now")
    again = upload(cast, runtime, downloaded)
    assert (again.state, again.kind, again.holds, again.comment) == ("completed", "uploaded", "full", "from home")
    assert not again.from_production
    assert again.verified_at is not None
    assert runtime.aside() == []
    assert not any(name.endswith("upload") for name in stored_of(cast))
    assert restored(runtime, cast.test, Actor(cast.alice), again).state == "done"
    assert runtime.read(cast.test.pk) == "then"


def test_a_database_alone_leaves_the_files(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    files = b"files".ljust(1024, b"\0")
    runtime.data[cast.test.pk] = {**FIRST, Part.FILES: files}
    backup = upload(cast, runtime, b"SQLite format 3\0brought along")
    assert (backup.holds, backup.files.name) == ("database", "")
    restored(runtime, cast.test, Actor(cast.alice), backup)
    assert runtime.read(cast.test.pk) == "brought along"
    assert runtime.content(cast.test.pk)[Part.FILES] == files


def test_what_is_no_archive_or_hostile_is_refused_and_leaves_nothing(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    with pytest.raises(Refused, match="no archive that can be restored"):
        take_in_upload(cast.test, Actor(cast.alice), ContentFile(b"hello", "x"))
    backup = upload(cast, runtime, b"SQLite format 3\0hostile")
    assert backup.state == "failed"
    assert "leads out of its folder" in backup.reason
    assert stored_of(cast) == []


def test_data_of_production_keep_their_mark_wherever_they_go(cast: Cast, runtime: FakeRuntime) -> None:
    alice = actor_with_window(cast.alice)
    for environment in (cast.test, cast.production):
        on(cast, runtime, environment)
    backup = backed_up(cast, runtime, cast.production, alice)
    assert (backup.from_production, backup.production) == (True, cast.production)
    restored(runtime, cast.test, alice, backup)
    assert ProductionData.objects.get().production == cast.production
    copy = backed_up(cast, runtime, cast.test, alice)
    assert (copy.from_production, copy.production) == (True, cast.production)
    again = upload(cast, runtime, whole(backup), alice)
    assert (again.from_production, again.production) == (True, cast.production)
    own = Backup.objects.filter(environment=cast.test, kind="safety").earliest("pk")
    assert not own.from_production
    restored(runtime, cast.test, alice, own)
    assert not ProductionData.objects.exists()


def test_cleared_data_take_the_mark_with_them(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    ProductionData.objects.create(environment=cast.test, production=cast.production)
    for kind in (JobKind.STOP, JobKind.CLEAR):
        work(runtime, request_job(kind, cast.test, Actor(cast.alice)))
    assert not ProductionData.objects.exists()


def test_a_restore_of_productions_data_asks_for_production_too(cast: Cast, runtime: FakeRuntime) -> None:
    for environment in (cast.test, cast.production):
        on(cast, runtime, environment)
    backup = backed_up(cast, runtime, cast.production)
    may_all(cast, cast.bob, cast.test)
    with pytest.raises(NotPermitted, match="Access to Backups on Production"):
        request_restore(cast.test, actor_with_window(cast.bob), backup)
    may_all(cast, cast.bob, cast.production)
    with pytest.raises(NotPermitted, match="Enter a code"):
        request_restore(cast.test, Actor(cast.bob), backup)
    assert restored(runtime, cast.test, actor_with_window(cast.bob), backup).state == "done"
    marked = backed_up(cast, runtime, cast.test, Actor(cast.bob))
    with pytest.raises(NotPermitted, match="Enter a code"):
        request_restore(cast.test, Actor(cast.bob), marked)
    cast.production.delete()
    marked.refresh_from_db()
    with pytest.raises(NotPermitted, match="production, which is gone"):
        request_restore(cast.test, Actor(cast.bob), marked)


def test_what_was_taken_away_meanwhile_is_not_restored(cast: Cast, runtime: FakeRuntime) -> None:
    for environment in (cast.test, cast.production):
        on(cast, runtime, environment)
    may_all(cast, cast.bob, cast.test, cast.production)
    backup = backed_up(cast, runtime, cast.production)
    job = request_restore(cast.test, actor_with_window(cast.bob), backup)
    member = cast.membership(cast.bob)
    member.node_permissions.filter(environment=cast.production, permission=Permission.BACKUPS).delete()
    work(runtime, job)
    assert job.state == "cancelled"
    assert "Access to Backups on Production" in job.result
    assert runtime.content(cast.test.pk) == FIRST


@pytest.mark.parametrize("missing", [Permission.TRANSPORT, Permission.BACKUPS])
def test_a_restore_takes_both_permissions(cast: Cast, runtime: FakeRuntime, missing: Permission) -> None:
    for environment in (cast.test, cast.acceptance):
        on(cast, runtime, environment)
    backup = backed_up(cast, runtime, cast.test)
    cast.grant(cast.bob, cast.test, Permission.BACKUPS)
    cast.grant(cast.bob, cast.acceptance, *({Permission.TRANSPORT, Permission.BACKUPS} - {missing}))
    with pytest.raises(NotPermitted, match=f"{missing.label} on Acceptance"):
        request_restore(cast.acceptance, Actor(cast.bob), backup)


def test_a_restore_takes_access_where_the_backup_is(cast: Cast, runtime: FakeRuntime) -> None:
    for environment in (cast.test, cast.acceptance):
        on(cast, runtime, environment)
    may_all(cast, cast.bob, cast.acceptance)
    with pytest.raises(NotPermitted, match="Access to Backups on Test"):
        request_restore(cast.acceptance, Actor(cast.bob), backed_up(cast, runtime, cast.test))


def test_marked_data_take_access_on_production(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    Backup.objects.update(from_production=True, production=cast.production)
    may_all(cast, cast.bob, cast.test)
    with pytest.raises(NotPermitted, match="Access to Backups on Production"):
        request_restore(cast.test, actor_with_window(cast.bob), backup)
    may_all(cast, cast.bob, cast.production)
    job = request_restore(cast.test, actor_with_window(cast.bob), backup)
    cast.membership(cast.bob).node_permissions.filter(environment=cast.production).delete()
    work(runtime, job)
    assert (job.state, runtime.content(cast.test.pk)) == ("cancelled", FIRST)


def test_a_backup_of_another_app_or_a_failed_one_is_not_restored(cast: Cast, runtime: FakeRuntime) -> None:
    from environments.flows import create_app

    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    other = create_app(Actor(cast.alice), "Other", "other").environments.earliest("pk")
    with pytest.raises(NotPermitted, match="its own app"):
        request_restore(other, Actor(cast.alice), backup)
    Backup.objects.update(state="failed")
    with pytest.raises(Refused, match="not completed"):
        request_restore(cast.test, Actor(cast.alice), backup)


def test_a_backup_made_by_the_clock_needs_nobody(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.production)
    backup = request_nightly(cast.production)
    work(runtime)
    backup.refresh_from_db()
    assert (backup.state, backup.kind, backup.creator_name) == ("completed", "nightly", "The portal")
    assert not Activity.objects.filter(act="job.backup-asked").exists()
