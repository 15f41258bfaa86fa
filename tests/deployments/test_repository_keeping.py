"""Which packages are kept, and what the night removes: rows, files, releases, once a night."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase
from django.utils import timezone

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from deployments import keeping, removal
from deployments.models import Job, Live, Nightly, Package
from deployments.nights import night_of
from deployments.removal import tidy_up
from deployments.repository import upload_package
from deployments.runtimes.base import RuntimeFailure
from deployments.states import EnvironmentState, JobKind, JobState
from environments.flows import create_app
from environments.models import Environment
from tests.cast import Cast, signed_in
from tests.deployments.fakes import FakeRuntime, archive, make_package

NIGHT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def packages(cast: Cast, count: int) -> list[Package]:
    """Make packages that have expired, oldest first."""
    made = [make_package(cast.app, cast.alice, f"1.0.{number}") for number in range(count)]
    Package.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    return [Package.objects.get(pk=package.pk) for package in made]


def deployed(environment: Environment, package: Package, state: JobState = JobState.DONE, **more: Any) -> Job:
    number = environment.jobs.count() + 1
    return Job.objects.create(
        environment=environment, number=number, kind=JobKind.TRANSPORT, state=state, package=package, **more
    )


def put_on(environment: Environment, package: Package) -> None:
    Live.objects.create(environment=environment, state=EnvironmentState.STOPPED, package=package)


def night(runtime: FakeRuntime | None = None) -> None:
    """Let the night's work be done, however often it was done before."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        Nightly.objects.all().delete()
        tidy_up(runtime or FakeRuntime())


def left() -> set[str]:
    return set(Package.objects.values_list("version", flat=True))


def test_an_expired_package_goes_with_its_file_and_a_young_one_stays(cast: Cast) -> None:
    old, young = packages(cast, 2)
    Package.objects.filter(pk=young.pk).update(expires_at=timezone.now() + timedelta(minutes=1))
    night()
    assert left() == {young.version}
    assert not default_storage.exists(str(old.file.name))
    assert default_storage.exists(str(young.file.name))


def test_the_activity_says_that_the_portal_removed_it_and_why(cast: Cast) -> None:
    packages(cast, 1)
    night()
    entry = Activity.objects.get(act=Act.PACKAGE_EXPIRED)
    assert str(entry) == "The portal removed calc 1.0.0"
    assert entry.reason.startswith("Expired on ")
    assert (entry.actor_id, entry.app_id) == (None, cast.app.pk)


def test_the_page_says_what_the_night_removed_for_a_day(cast: Cast) -> None:
    packages(cast, 7)
    night()
    page = signed_in(cast.bob).get("/apps/calc/packages/").content.decode()
    assert "Removed last night, because expired: calc 1.0.6, calc 1.0.5" in page
    assert "and 2 more" in page
    entry = Activity.objects.filter(act=Act.PACKAGE_EXPIRED).earliest("pk")
    with time_machine.travel(entry.at + timedelta(hours=25)):
        assert removal.removed_lately(cast.app) == []


def test_what_is_uploaded_again_is_kept_as_long_as_a_new_one(cast: Cast) -> None:
    content = archive().read()

    def upload(by: User) -> Package:
        return upload_package(cast.app, Actor(by), SimpleUploadedFile("calc.zip", content), "calc.zip")

    package = upload(cast.alice)
    Package.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    expired = Package.objects.get()
    again = upload(cast.bob)
    assert (again.pk, again.was_there) == (package.pk, True)
    assert upload(cast.bob).was_there
    assert [str(entry) for entry in Activity.objects.filter(actor_id=cast.bob.pk)] == ["Bob uploaded calc 1.0.0"]
    night()
    assert left() == {"1.0.0"}
    assert not removal._remove_one(expired), "which the night had found before"


def test_what_is_on_an_environment_is_kept(cast: Cast) -> None:
    _gone, kept = packages(cast, 2)
    put_on(cast.production, kept)
    night()
    assert left() == {kept.version}


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_what_is_on_its_way_to_an_environment_is_kept(cast: Cast, state: JobState) -> None:
    _gone, kept = packages(cast, 2)
    deployed(cast.test, kept, state)
    night()
    assert left() == {kept.version}


def test_the_last_five_that_were_deployed_on_each_environment_are_kept(cast: Cast) -> None:
    made = packages(cast, 9)
    for package in made[:7]:
        deployed(cast.test, package)
    deployed(cast.acceptance, made[7])
    night()
    assert left() == {package.version for package in made[2:8]}


def test_five_are_five_packages_however_often_each_was_deployed(cast: Cast) -> None:
    made = packages(cast, 6)
    for package in [*made, *made[3:], *made[3:]]:
        deployed(cast.test, package)
    night()
    assert left() == {package.version for package in made[1:]}


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED])
def test_what_never_ran_there_does_not_count(cast: Cast, state: JobState) -> None:
    packages_ = packages(cast, 1)
    deployed(cast.test, packages_[0], state)
    night()
    assert left() == set()


def test_another_apps_environments_keep_nothing_here(cast: Cast) -> None:
    other = create_app(Actor(cast.charlie), "Other", "other")
    theirs = make_package(other, cast.charlie)
    put_on(other.environments.all()[0], theirs)
    assert (keeping.of_app(cast.app), list(keeping.of_app(other))) == ({}, [theirs.pk])


def test_history_stays_when_a_package_goes(cast: Cast) -> None:
    made = packages(cast, 6)
    jobs = [deployed(cast.test, package, package_name=str(package)) for package in made]
    night()
    first = Job.objects.get(pk=jobs[0].pk)
    assert (first.package, first.package_name) == (None, "calc 1.0.0")


def test_files_that_no_package_has_go_after_a_day(cast: Cast) -> None:
    kept = make_package(cast.app, cast.alice)
    old, young = (default_storage.save(f"packages/{uuid4()}/{uuid4()}.zip", ContentFile(b"x")) for _ in range(2))
    yesterday = time.time() - 25 * 3600
    for name in (old, str(kept.file.name)):
        os.utime(default_storage.path(name), (yesterday, yesterday))
    night()
    assert [default_storage.exists(name) for name in (old, young, str(kept.file.name))] == [False, True, True]
    default_storage.delete(young)


def test_a_file_that_can_not_be_removed_is_tried_again_the_next_night(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package,) = packages(cast, 1)
    with monkeypatch.context() as patch:
        patch.setattr(default_storage, "delete", lambda name: (_ for _ in ()).throw(OSError("busy")))
        night()
    assert left() == set()
    assert default_storage.exists(str(package.file.name))
    os.utime(default_storage.path(str(package.file.name)), (0, 0))
    night()
    assert not default_storage.exists(str(package.file.name))


def test_releases_of_packages_that_are_gone_are_removed(cast: Cast) -> None:
    kept = make_package(cast.app, cast.alice)
    runtime = FakeRuntime()
    for release in (kept.sha256, "f" * 64):
        unpacked(runtime, release)
    night(runtime)
    assert runtime.releases() == [kept.sha256]


def unpacked(runtime: FakeRuntime, release: str) -> None:
    runtime.prepare(release, ContentFile(b"PK"))  # type: ignore[arg-type]


def test_a_release_that_something_still_runs_from_stays_without_harm(cast: Cast) -> None:
    class Busy(FakeRuntime):
        def remove_release(self, release: str) -> None:
            if release[0] == "e":
                raise RuntimeFailure("The release is in use by an instance. Stop that first.")
            super().remove_release(release)

    runtime = Busy()
    for release in ("e" * 64, "f" * 64):
        unpacked(runtime, release)
    night(runtime)
    assert runtime.releases() == ["e" * 64]
    assert Nightly.objects.get().night == night_of(timezone.now())


@pytest.mark.parametrize(
    ("now", "night"),
    [
        (NIGHT - timedelta(seconds=1), date(2026, 11, 23)),
        (NIGHT, date(2026, 11, 24)),
        (NIGHT + timedelta(hours=23), date(2026, 11, 24)),
    ],
)
def test_a_night_begins_at_its_time(settings: Any, now: datetime, night: date) -> None:
    settings.NIGHTLY_AT = time_of_day(2, 0)
    assert night_of(now) == night


def test_it_is_done_once_a_night_and_made_up_for_when_it_was_missed(cast: Cast) -> None:
    tidy_up(FakeRuntime())
    packages(cast, 1)
    tidy_up(FakeRuntime())
    assert left() == {"1.0.0"}
    Nightly.objects.update(night=night_of(timezone.now()) - timedelta(days=3))
    tidy_up(FakeRuntime())
    assert left() == set()


def test_a_worker_that_died_over_it_is_replaced_after_a_while(cast: Cast) -> None:
    packages(cast, 1)
    Nightly.objects.create(name="packages", night=date.min, busy_until=timezone.now() + timedelta(minutes=1))
    tidy_up(FakeRuntime())
    assert left() == {"1.0.0"}
    Nightly.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
    tidy_up(FakeRuntime())
    assert left() == set()


def test_much_work_is_done_in_portions(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "PORTION", 2)
    packages(cast, 5)
    counts = []
    for _ in range(4):
        tidy_up(FakeRuntime())
        counts.append(len(left()))
    assert counts == [3, 1, 0, 0]


def test_a_package_says_why_it_is_kept_or_when_it_goes(cast: Cast) -> None:
    made = packages(cast, 5)
    put_on(cast.test, made[0])
    put_on(cast.production, made[0])
    deployed(cast.acceptance, made[1])
    deployed(cast.test, made[2], JobState.QUEUED)
    Package.objects.filter(pk=made[3].pk).update(expires_at=timezone.now() + timedelta(days=11, hours=1))
    page = signed_in(cast.bob).get("/apps/calc/packages/").content.decode()
    words = ["kept: on Test and Production", "kept: one of the last five of Acceptance", "kept: on its way to Test"]
    assert [word for word in [*words, "expires in 12 days", "expires tonight"] if word not in page] == []


def test_storage_without_packages_is_fine(settings: Any, tmp_path: Path, cast: Cast) -> None:
    default = settings.STORAGES["default"] | {"OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"default": default}
    night()
