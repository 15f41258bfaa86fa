"""Asking for jobs: who may, what makes sense, in which order."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, ProductionWindow
from deployments.errors import AlreadyAsked, Refused
from deployments.flows import request_job
from deployments.models import Job, Live
from deployments.overview import difference
from deployments.states import EnvironmentState, JobKind, steps_of
from environments import flows as environment_flows
from environments.authority import NotPermitted
from environments.permissions import Permission
from tests.cast import Cast
from tests.deployments.fakes import actor_with_window, make_package


def test_a_transport_waits_with_its_steps_and_is_in_the_activity(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package, " Fixes the sums. ")
    assert (job.number, job.state, job.package_name, job.note) == (1, "queued", "calc 1.0.0", "Fixes the sums.")
    assert [step.name for step in job.steps.all()] == list(steps_of(JobKind.TRANSPORT, beside=True))
    entry = Activity.objects.filter(act=Act.TRANSPORT_ASKED).get()
    assert str(entry) == "Alice asked to transport calc 1.0.0 to Test"


def test_a_member_without_transport_rights_is_refused(cast: Cast) -> None:
    package = make_package(cast.app, cast.bob)
    with pytest.raises(NotPermitted, match="Transport Rights on Test"):
        request_job(JobKind.TRANSPORT, cast.test, Actor(cast.bob), package)
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.bob), package)
    with pytest.raises(NotPermitted):
        request_job(JobKind.TRANSPORT, cast.acceptance, Actor(cast.bob), package)


def test_production_needs_an_open_window_in_the_flow_as_well(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    with pytest.raises(NotPermitted, match="Enter a code"):
        request_job(JobKind.TRANSPORT, cast.production, Actor(cast.alice), package)
    by = actor_with_window(cast.alice)
    ProductionWindow.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotPermitted):
        request_job(JobKind.TRANSPORT, cast.production, by, package)
    assert not Job.objects.exists()


def test_a_window_of_somebody_else_does_not_count(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    cast.grant(cast.bob, cast.production, Permission.TRANSPORT)
    window = actor_with_window(cast.alice).window
    with pytest.raises(NotPermitted):
        request_job(JobKind.TRANSPORT, cast.production, Actor(cast.bob, window=window), package)


def test_the_same_is_asked_for_once(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    with pytest.raises(AlreadyAsked, match="asked for by Alice") as refusal:
        request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    assert refusal.value.job == job
    request_job(JobKind.TRANSPORT, cast.acceptance, Actor(cast.alice), package)


def test_another_package_waits_behind_it(cast: Cast) -> None:
    first, second = (make_package(cast.app, cast.alice, version) for version in ("1.0.0", "1.1.0"))
    jobs = [request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package) for package in (first, second)]
    assert [job.number for job in jobs] == [1, 2]


def test_a_package_of_another_app_is_refused(cast: Cast) -> None:
    other = environment_flows.create_app(Actor(cast.alice), "Other", "other")
    package = make_package(other, cast.alice)
    with pytest.raises(Refused, match="of this app"):
        request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)


@pytest.mark.parametrize(
    ("state", "kind", "sentence"),
    [
        (None, JobKind.START, "Nothing is on Test yet"),
        (None, JobKind.STOP, "nothing to stop"),
        (EnvironmentState.RUNNING, JobKind.START, "runs already"),
        (EnvironmentState.STOPPED, JobKind.STOP, "stopped already"),
        (EnvironmentState.STOPPED, JobKind.RESTART, "Start it instead"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cast: Cast, state: EnvironmentState | None, kind: JobKind, sentence: str
) -> None:
    if state:
        Live.objects.create(environment=cast.test, state=state, package=make_package(cast.app, cast.alice))
    with pytest.raises(Refused, match=sentence):
        request_job(kind, cast.test, Actor(cast.alice))
    assert not Job.objects.exists()


def test_sense_is_judged_by_what_will_be_when_its_turn_comes(cast: Cast) -> None:
    Live.objects.create(
        environment=cast.test, state=EnvironmentState.RUNNING, instance=1, package=make_package(cast.app, cast.alice)
    )
    request_job(JobKind.STOP, cast.test, Actor(cast.alice))
    request_job(JobKind.START, cast.test, Actor(cast.alice))
    with pytest.raises(AlreadyAsked):
        request_job(JobKind.START, cast.test, Actor(cast.alice))


def test_what_cannot_run_twice_is_stopped_before_the_new_one_starts(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice, runs_twice=False)
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    assert [step.name for step in job.steps.all()] == ["check", "unpack", "stop", "start", "health", "switch"]


def test_the_difference_names_constants_that_come_and_go(cast: Cast) -> None:
    old = make_package(cast.app, cast.alice, "1.0.0", constants=[{"name": "A", "default": "1"}, {"name": "B"}])
    new = make_package(cast.app, cast.alice, "1.1.0", constants=[{"name": "B"}, {"name": "C", "default": "3"}])
    found = difference(old, new)
    assert [c.name for c in found.new] == ["C"]
    assert [c.name for c in found.gone] == ["A"]
    assert [c.name for c in difference(None, old).new] == ["A", "B"]
