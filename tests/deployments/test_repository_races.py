"""Packages that go at the same instant as something else happens: real threads, a real database."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity
from deployments import nights, removal
from deployments.errors import Refused
from deployments.flows import request_job
from deployments.models import Job, Nightly, Package
from deployments.removal import delete_package, tidy_up
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast, make_cast
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package
from tests.deployments.test_job_races import at_once, wait_for, working

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 4


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def either(cast: Cast, go: Callable[[Package], object]) -> None:
    """Let a package go while somebody asks for its transport: one of the two happens, the other one is told."""
    for number in range(ROUNDS):
        package = make_package(cast.app, cast.alice, f"1.0.{number}")
        Package.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
        ask = partial(request_job, JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
        went, asked = at_once([partial(go, Package.objects.get()), ask])
        there = Package.objects.filter(pk=package.pk).exists()
        assert isinstance(asked, Job if there else Refused), asked
        assert went is None or (there and isinstance(went, Refused)), went
        assert default_storage.exists(str(package.file.name)) == there
        assert Job.objects.active().filter(package=package).exists() == there
        Job.objects.all().delete()
        Package.objects.all().delete()


def test_a_package_is_deleted_or_asked_for_never_both(cast: Cast) -> None:
    by = actor_with_window(cast.bob)
    either(cast, lambda package: delete_package(package, by))


def test_a_package_expires_or_is_asked_for_never_both(cast: Cast) -> None:
    def expire(package: Package) -> None:
        Nightly.objects.all().delete()
        tidy_up(FakeRuntime())

    either(cast, expire)


def test_two_workers_do_a_nights_work_once(cast: Cast) -> None:
    for number in range(4):
        make_package(cast.app, cast.alice, f"1.0.{number}")
    Package.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    Nightly.objects.create(name=removal.NAME, night=date.min)
    assert at_once([partial(tidy_up, FakeRuntime())] * 4) == [None] * 4
    assert Activity.objects.filter(act=Act.PACKAGE_EXPIRED).count() == 4
    assert not Package.objects.exists()


def test_two_workers_on_their_very_first_night(cast: Cast) -> None:
    assert at_once([partial(tidy_up, FakeRuntime())] * 4) == [None] * 4
    assert Nightly.objects.get().night == nights.night_of(timezone.now())


def test_a_worker_does_the_nights_work_by_itself(cast: Cast) -> None:
    make_package(cast.app, cast.alice)
    Package.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    with working(Worker(FakeRuntime(), "night")):
        wait_for(lambda: Nightly.objects.filter(night=nights.night_of(timezone.now())).exists())
    assert not Package.objects.exists()


def test_two_who_delete_at_once_delete_once(cast: Cast) -> None:
    package, by = make_package(cast.app, cast.alice), actor_with_window(cast.bob)
    answers = at_once([partial(delete_package, package, by), partial(delete_package, Package.objects.get(), by)])
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "Refused"]
    assert Activity.objects.filter(act=Act.PACKAGE_DELETED).count() == 1
