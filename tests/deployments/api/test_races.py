"""Calls and clicks at the same instant, with real threads on a real database."""

from typing import Any

import pytest

from deployments.models import Job, Package
from environments.models import ApiKey
from tests.cast import Cast, make_cast, signed_in
from tests.deployments.api.client import ApiError
from tests.deployments.api.conftest import World, through_django
from tests.deployments.fakes import archive, make_package
from tests.deployments.test_job_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
TRANSPORT = "/apps/calc/environments/test/transport/"


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def codes(answers: list[Any]) -> list[str]:
    """Give the codes of refusals; anything else that went wrong is raised here."""
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ApiError):
            raise answer
    return [answer.code for answer in answers if isinstance(answer, ApiError)]


def test_a_transport_by_api_and_one_by_page_make_one_job_or_two_in_order_never_half(world: World) -> None:
    client, browser = world.client(), signed_in(world.cast.alice)
    by_page = {"package": str(world.new.key), "note": ""}
    answers = at_once(
        [
            lambda: client.transport("calc", "Test", str(world.old.key)),
            lambda: browser.post(TRANSPORT, by_page),
        ]
    )
    refused = codes(answers)
    assert answers[1].status_code == 302
    # The page's transport starts the app, so behind it the API's finds that it runs
    assert refused in ([], ["APP_IS_RUNNING"])
    world.work()
    assert Job.objects.filter(state="done").count() == Job.objects.count() == 2 - len(refused)
    assert client.environment("calc", "Test")["ModelVersion"] == "1.1.0"


def test_the_same_transport_by_two_programs_is_one_job(world: World) -> None:
    clients = [world.client() for _ in range(4)]
    answers = at_once([lambda c=c: c.transport("calc", "Test", str(world.old.key)) for c in clients])  # type: ignore[misc]
    assert answers == [{}] * 4
    assert world.jobs() == ["transport queued"]


def test_of_starts_at_once_one_gets_the_job(world: World) -> None:
    client = world.client()
    client.transport("calc", "Test", str(world.old.key))
    answers = at_once([lambda: client.start("calc", "Test")] * 4)
    assert codes(answers) == ["APP_ALREADY_HAS_A_STARTING_JOB"] * 3
    assert [answer for answer in answers if isinstance(answer, str)] == ["2"]


def test_the_same_upload_at_once_gives_all_the_same_package(world: World) -> None:
    content = archive("5.0.0").read()
    clients = [world.client() for _ in range(4)]
    answers = at_once([lambda c=c: c.upload_bare("calc", "a.zip", content) for c in clients])  # type: ignore[misc]
    assert codes(answers) == []
    assert len(set(answers)) == 1
    assert Package.objects.count() == 3


def test_settings_by_programs_at_once_are_all_kept(world: World) -> None:
    names = [f"LIMIT_{number}" for number in range(4)]
    constants = [{"name": name, "type": "integer", "default": 0} for name in names]
    package = make_package(world.cast.app, world.cast.alice, "6.0.0", constants=constants)
    client = world.client()
    client.transport("calc", "Test", str(package.key))
    wanted = [{"Constants": [{"Name": name, "Value": "7"}]} for name in names]
    answers = at_once([lambda w=w: client.set_settings("calc", "Test", w) for w in wanted])  # type: ignore[misc]
    assert codes(answers) == []
    assert {each["Value"] for each in client.settings("calc", "Test")["Constants"]} == {"7"}


def test_a_key_revoked_at_the_same_instant_leaves_nothing_half(world: World) -> None:
    client = world.client()
    key = world.made[0]
    answers = at_once(
        [
            lambda: client.transport("calc", "Test", str(world.old.key)),
            lambda: ApiKey.objects.filter(pk=key.pk).delete(),
        ]
    )
    assert codes(answers) in ([], ["UNAUTHORIZED"], ["NO_ACCESS"], ["APP_NOT_FOUND"])
    world.work()
    assert not [job for job in world.jobs() if job != "transport cancelled"]
    client.send = through_django()
    with pytest.raises(ApiError, match="401"):
        client.apps()
