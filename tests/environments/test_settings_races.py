"""Settings changed, and environments deleted, at the same instant: real threads on a real database."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity
from deployments import deletion
from deployments.errors import Refused
from deployments.flows import request_job
from deployments.models import Job
from deployments.states import JobKind
from environments import settings_flows
from environments.models import Environment
from environments.settings_flows import ChangedMeanwhile, fingerprint
from tests.cast import Cast, make_cast, unlocked
from tests.deployments.fakes import actor_with_window, make_package
from tests.deployments.test_job_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/apps/calc/settings/"


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def refused(act: Any, *why: type[Exception]) -> str:
    try:
        act()
    except why as reason:
        return type(reason).__name__
    return "done"


def test_of_two_who_save_at_once_one_is_told(cast: Cast) -> None:
    seen, by = fingerprint(cast.app), Actor(cast.alice)
    wanted = {"name": "Calc", "description": "", "colour": "blue"}
    acts: list[Callable[[], Any]] = [
        partial(
            refused,
            partial(settings_flows.change_app, cast.app, by, wanted | {"description": text}, seen),
            ChangedMeanwhile,
        )
        for text in ("One.", "Two.")
    ]
    assert sorted(at_once(acts)) == ["ChangedMeanwhile", "done"]
    assert Activity.objects.filter(act=Act.APP_CHANGED).count() == 1


def test_of_two_who_add_the_same_name_at_once_one_sees_an_error_at_the_field(cast: Cast) -> None:
    browsers = [unlocked(cast.alice), unlocked(cast.alice)]
    address = PAGE + "add-environment/"
    answers = at_once(
        [
            partial(browser.post, address, {"name": name})
            for browser, name in zip(browsers, ("Demo", "demo"), strict=True)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [302, 400]
    assert Environment.objects.filter(slug="demo").count() == 1


def test_of_two_who_move_at_once_one_is_told(cast: Cast) -> None:
    browsers = [unlocked(cast.alice), unlocked(cast.alice)]
    move = {"move": "down test", "order": "test acceptance production"}
    assert [a.status_code for a in at_once([partial(b.post, PAGE + "order/", move) for b in browsers])] == [302, 302]
    assert [e.name for e in cast.app.environments.all()] == ["Acceptance", "Test", "Production"]
    assert Activity.objects.filter(act=Act.ENVIRONMENTS_ORDERED).count() == 1


def test_deleting_an_environment_and_asking_for_a_job_take_turns(cast: Cast) -> None:
    """Either there is a job and the environment stays, or it is gone and so is what was asked for."""
    by, package = actor_with_window(cast.alice), make_package(cast.app, cast.alice)
    ask = partial(request_job, JobKind.TRANSPORT, cast.test, by, package)
    delete = partial(deletion.delete_environment, cast.test, by)
    asked, deleted = at_once([partial(refused, ask, Environment.DoesNotExist), partial(refused, delete, Refused)])
    there = Environment.objects.filter(pk=cast.test.pk).exists()
    assert (asked, deleted) == (("done", "Refused") if there else ("DoesNotExist", "done"))
    assert Job.objects.count() == there


def test_two_who_delete_at_once_meet_a_page_that_is_not_there(cast: Cast) -> None:
    browsers = [unlocked(cast.alice), unlocked(cast.alice)]
    address = PAGE + "environments/test/delete/"
    answers = at_once([partial(browser.post, address, {"name": "Test"}) for browser in browsers])
    assert sorted(answer.status_code for answer in answers) == [302, 404]
    assert Activity.objects.filter(act=Act.ENVIRONMENT_DELETED).count() == 1
