"""Each call of the table, with its documented answers and errors, by a client written from the table alone."""

import json
import time
import zipfile
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.acts import Act
from accounts.models import Activity
from deployments.api import setting_calls
from deployments.models import Job, Package
from environments import flows
from tests.deployments.api.client import ApiError, DeployClient
from tests.deployments.api.conftest import World
from tests.deployments.fakes import archive, make_package


@pytest.fixture
def client(world: World) -> DeployClient:
    return world.client()


def refused(act: Any, status: int, code: str) -> str:
    with pytest.raises(ApiError) as refusal:
        act()
    assert (refusal.value.status, refusal.value.code) == (status, code), refusal.value.message
    return refusal.value.message


def is_now(milliseconds: int) -> bool:
    return abs(milliseconds - time.time() * 1000) < 60_000


def test_the_apps_of_a_person_and_one_of_them(world: World, client: DeployClient) -> None:
    app = world.cast.app
    address = "http://production--calc.apps.localhost:8080"
    shown = {"AppId": "calc", "Name": "Calc", "ProjectId": str(app.project_id), "Url": client.app("calc")["Url"]}
    assert client.apps() == [shown]
    assert client.app("calc") == shown
    assert shown["Url"].startswith(address.rpartition(":")[0])
    refused(lambda: client.app("other"), 404, "APP_NOT_FOUND")
    refused(lambda: client.app("Calc_1"), 400, "INVALID_APPID")


def test_the_environments_and_their_states(world: World, client: DeployClient) -> None:
    world.running(world.cast.acceptance, world.old)
    listed = client.environments("calc")
    assert [(e["Mode"], e["Status"], e["ModelVersion"], e["Production"]) for e in listed] == [
        ("Test", "Empty", "", False),
        ("Acceptance", "Running", "1.0.0", False),
        ("Production", "Empty", "", True),
    ]
    assert client.environment("calc", "Acceptance") == listed[1]
    assert set(listed[0]) == {
        *("EnvironmentId", "Status", "Mode", "Url", "ModelVersion", "MendixVersion", "Production"),
    }
    assert len({UUID(each["EnvironmentId"]) for each in listed}) == 3
    client.stop("calc", "Acceptance")
    world.work()
    assert client.environment("calc", "Acceptance")["Status"] == "Stopped"


def test_an_environment_that_is_not_there_or_has_no_name(client: DeployClient) -> None:
    refused(lambda: client.environment("calc", "Staging"), 404, "ENVIRONMENT_NOT_FOUND")
    refused(lambda: client.environment("calc", "x" * 61), 400, "INVALID_ENVIRONMENT")
    refused(lambda: client.environment("calc", "a%01b"), 400, "INVALID_ENVIRONMENT")


def test_stop_transport_start_and_wait(world: World, client: DeployClient) -> None:
    world.running(world.cast.test, world.old)
    assert client.stop("calc", "Test") == {}
    assert client.transport("calc", "Test", str(world.new.key)) == {}
    job = client.start("calc", "Test")
    assert client.progress("calc", "Test", job) == {"Status": "Starting"}
    world.work()
    assert client.progress("calc", "Test", job) == {"Status": "Started"}
    assert client.environment("calc", "Test")["ModelVersion"] == "1.1.0"
    assert world.jobs()[1:] == ["stop done", "transport done", "start done"]


def test_a_transport_leaves_its_package_stopped_until_it_is_started(world: World, client: DeployClient) -> None:
    client.transport("calc", "Test", str(world.old.key))
    world.work()
    assert client.environment("calc", "Test")["Status"] == "Stopped"
    assert client.deployed("calc", "Test")["PackageId"] == str(world.old.key)
    assert not world.runtime.specs
    client.start("calc", "Test")
    world.work()
    assert client.environment("calc", "Test")["Status"] == "Running"


def test_start_on_what_is_empty_running_or_starting(world: World, client: DeployClient) -> None:
    refused(lambda: client.start("calc", "Test"), 500, "NO_MDA_HAS_BEEN_DEPLOYED")
    client.transport("calc", "Test", str(world.old.key))
    client.start("calc", "Test")
    refused(lambda: client.start("calc", "Test"), 500, "APP_ALREADY_HAS_A_STARTING_JOB")
    world.work()
    refused(lambda: client.start("calc", "Test"), 500, "ALREADY_STARTED")
    refused(lambda: client.progress("calc", "Test", "99"), 404, "NO_SUCH_STARTJOB")
    refused(lambda: client.progress("calc", "Test", "1"), 404, "NO_SUCH_STARTJOB")  # the transport
    refused(lambda: client.progress("calc", "Test", "x" * 20), 404, "NO_SUCH_STARTJOB")


def test_a_start_that_fails_says_why(world: World, client: DeployClient) -> None:
    sick = make_package(world.cast.app, world.cast.alice, "2.0.0", "sick")
    world.runtime.sick.add("sick")
    client.transport("calc", "Test", str(sick.key))
    job = client.start("calc", "Test")
    world.work()
    assert "did not get healthy" in refused(lambda: client.progress("calc", "Test", job), 500, "START_FAILED")


def test_a_start_without_the_values_that_the_package_needs_fails_at_once(world: World, client: DeployClient) -> None:
    needy = make_package(world.cast.app, world.cast.alice, "2.0.0", constants=[{"name": "TOKEN", "type": "secret"}])
    client.transport("calc", "Test", str(needy.key))
    world.work()
    assert "TOKEN has no value" in refused(lambda: client.start("calc", "Test"), 500, "START_FAILED")
    client.set_settings("calc", "Test", {"Constants": [{"Name": "TOKEN", "Value": "s3cret"}]})
    client.start("calc", "Test")
    world.work()
    assert client.environment("calc", "Test")["Status"] == "Running"


def test_a_start_never_takes_the_old_version_for_one_that_did_not_arrive(world: World, client: DeployClient) -> None:
    client.transport("calc", "Test", str(world.old.key))
    world.work()
    client.transport("calc", "Test", str(world.new.key))
    waiting = client.start("calc", "Test")
    world.new.file.storage.delete(str(world.new.file.name))
    world.work()
    says = refused(lambda: client.progress("calc", "Test", waiting), 500, "START_FAILED")
    assert "calc 1.1.0 did not arrive on Test" in says
    assert "calc 1.1.0 did not arrive" in refused(lambda: client.start("calc", "Test"), 500, "START_FAILED")
    assert client.environment("calc", "Test")["Status"] == "Stopped"
    client.transport("calc", "Test", str(world.old.key))
    client.start("calc", "Test")
    world.work()
    assert client.environment("calc", "Test")["ModelVersion"] == "1.0.0"


def test_what_is_stopped_or_empty_is_stopped_already(world: World, client: DeployClient) -> None:
    assert client.stop("calc", "Test") == {}
    assert not Job.objects.exists()


def test_a_stop_that_is_asked_for_twice_is_one(world: World, client: DeployClient) -> None:
    world.running(world.cast.test, world.old)
    client.stop("calc", "Test")
    assert client.stop("calc", "Test") == {}
    assert world.jobs()[1:] == ["stop queued"]


def test_a_transport_to_what_runs_is_refused(world: World, client: DeployClient) -> None:
    world.running(world.cast.test, world.old)
    says = refused(lambda: client.transport("calc", "Test", str(world.new.key)), 403, "APP_IS_RUNNING")
    assert "Stop it first" in says
    says = refused(lambda: client.transport("calc", "Test", str(world.old.key)), 403, "APP_IS_RUNNING")
    assert "runs on Test already" in says


def test_a_transport_of_nothing_or_of_another_apps_package(world: World, client: DeployClient) -> None:
    other = flows.create_app(_by(world), "Other", "other")
    theirs = make_package(other, world.cast.alice)
    for key in (str(uuid4()), "b3", str(theirs.key)):
        refused(lambda key=key: client.transport("calc", "Test", key), 404, "PACKAGE_NOT_FOUND")
    refused(lambda: client.call("POST", "apps/calc/environments/Test/transport", {}), 400, "INVALID_REQUEST")


def test_a_transport_of_a_package_whose_file_is_gone(world: World, client: DeployClient) -> None:
    world.old.file.storage.delete(str(world.old.file.name))
    refused(lambda: client.transport("calc", "Test", str(world.old.key)), 500, "PACKAGE_PARSE_FAILED")


def test_clean_empties_what_is_stopped(world: World, client: DeployClient) -> None:
    world.running(world.cast.test, world.old)
    refused(lambda: client.clean("calc", "Test"), 403, "ENVIRONMENT_NOT_STOPPED")
    client.stop("calc", "Test")
    answer = client.clean("calc", "Test")
    assert set(answer) == {"Status", "Mode", "Url"}
    assert client.clean("calc", "Test")["Mode"] == "Test"
    world.work()
    assert client.clean("calc", "Test")["Status"] == "Empty"
    refused(lambda: client.deployed("calc", "Test"), 404, "PACKAGE_NOT_FOUND")


def test_the_repository_and_one_package(world: World, client: DeployClient) -> None:
    shown = client.package("calc", str(world.new.key))
    assert {name: shown[name] for name in ("Name", "Version", "Creator", "Status", "Size")} == {
        "Name": "calc",
        "Version": "1.1.0",
        "Creator": "Alice",
        "Status": "Succeeded",
        "Size": world.new.size,
    }
    assert is_now(shown["CreationDate"])
    assert shown["ExpiryDate"] > shown["CreationDate"]
    assert [each["PackageId"] for each in client.packages("calc")] == [str(world.new.key), str(world.old.key)]
    assert client.packages("calc")[0] == shown
    refused(lambda: client.package("calc", str(uuid4())), 404, "PACKAGE_NOT_FOUND")


def test_the_bytes_of_a_package(world: World, client: DeployClient) -> None:
    content = client.download("calc", str(world.old.key))
    assert zipfile.ZipFile(BytesIO(content)).namelist() == ["Procfile", "model/metadata.json"]
    refused(lambda: client.download("calc", "nothing"), 404, "PACKAGE_NOT_FOUND")


@pytest.mark.parametrize("way", ["form", "bare", "bare, as curl says it", "bare, as a form that it is not"])
def test_an_upload_as_a_form_or_as_the_bare_body(world: World, client: DeployClient, way: str) -> None:
    content = archive("3.0.0").read()
    kind = {"bare, as curl says it": "application/octet-stream"}.get(way, "application/x-www-form-urlencoded")
    if way == "form":
        key = client.upload("calc", "calc-3.0.0.mda", content)
    else:
        key = client.upload_bare("calc", "calc-3.0.0.mda", content, "" if way == "bare" else kind)
    shown = client.package("calc", key)
    assert (shown["Version"], shown["Size"], shown["Creator"]) == ("3.0.0", len(content), "Alice")
    assert client.download("calc", key) == content


def test_a_name_and_version_come_from_the_name_where_the_package_is_silent(world: World, client: DeployClient) -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("Procfile", "web: true\n")
    shown = client.package("calc", client.upload_bare("calc", "sums-4.1.zip", content.getvalue()))
    assert (shown["Name"], shown["Version"]) == ("sums", "4.1")


def test_the_same_upload_again_gives_the_same_package(world: World, client: DeployClient) -> None:
    content = archive("3.0.0").read()
    first = client.upload("calc", "a.zip", content)
    assert client.upload_bare("calc", "b.zip", content) == first
    assert Package.objects.count() == 3


def test_uploads_that_are_no_packages(world: World, client: DeployClient, settings: Any) -> None:
    assert "zip" in refused(lambda: client.upload("calc", "a.zip", b"hello"), 500, "INVALID_PACKAGE")
    refused(lambda: client.upload_bare("calc", "a.zip", b"hello"), 500, "INVALID_PACKAGE")
    refused(lambda: client.upload_bare("calc", "a.zip", b""), 400, "INVALID_REQUEST")
    path = "apps/calc/packages/upload"
    refused(lambda: client.ask("POST", path, b"x", "multipart/form-data"), 400, "INVALID_REQUEST")
    settings.DISK_RESERVE_BYTES = 10**18
    content = archive("3.0.0").read()
    refused(lambda: client.upload("calc", "a.zip", content), 500, "UPLOAD_COPY_FAILED")
    refused(lambda: client.upload_bare("calc", "a.zip", content), 500, "UPLOAD_COPY_FAILED")
    assert Package.objects.count() == 2


def test_a_package_goes_unless_it_is_deployed(world: World) -> None:
    world.open_production(world.cast.alice)
    client = world.client(production=[world.cast.production])
    world.running(world.cast.test, world.old)
    refused(lambda: client.delete("calc", str(world.old.key)), 403, "PACKAGE_IN_USE")
    assert client.delete("calc", str(world.new.key)) == {}
    refused(lambda: client.delete("calc", str(world.new.key)), 404, "PACKAGE_NOT_FOUND")


def test_settings_are_shown_and_changed_by_name(world: World, client: DeployClient) -> None:
    constants = [
        {"name": "GREETING", "type": "string", "default": "Hello"},
        {"name": "LIMIT", "type": "integer"},
        {"name": "TOKEN", "type": "secret"},
    ]
    events = [{"name": "nightly", "command": "true", "schedule": "0 2 * * *"}]
    package = make_package(world.cast.app, world.cast.alice, "2.0.0", constants=constants, scheduled_events=events)
    client.transport("calc", "Test", str(package.key))
    wanted = {
        "Constants": [{"Name": "LIMIT", "Value": "5"}, {"Name": "TOKEN", "Value": "hush"}],
        "ScheduledEvents": [{"Name": "nightly", "Value": "Disabled"}],
    }
    before = client.settings("calc", "Test")
    assert before == client.set_settings("calc", "Test", before), "what is sent back as it came changes nothing"
    after = client.set_settings("calc", "Test", wanted)
    assert after == client.settings("calc", "Test")
    assert [(c["Name"], c["DataType"], c["Value"]) for c in after["Constants"]] == [
        ("GREETING", "String", "Hello"),
        ("LIMIT", "Integer", "5"),
        ("TOKEN", "Secret", "********"),
    ]
    assert [event["Value"] for event in after["ScheduledEvents"]] == ["Disabled"]
    client.start("calc", "Test")
    world.work()
    [spec] = world.runtime.specs.values()
    assert (spec.variables["LIMIT"], spec.variables["TOKEN"]) == ("5", "hush")
    client.set_settings("calc", "Test", client.settings("calc", "Test"))
    client.set_settings("calc", "Test", {"Constants": [{"Name": "LIMIT", "Value": "6"}]})
    limit = client.settings("calc", "Test")["Constants"][1]
    assert (limit["Value"], limit["DeployedValue"]) == ("6", "5")
    on = {"ScheduledEvents": [{"Name": "nightly", "Value": "Enabled"}]}
    [nightly] = client.set_settings("calc", "Test", on)["ScheduledEvents"]
    assert nightly["DeployedValue"] == "Enabled", "no start is waited for, and the call's own words say so"
    assert "scheduled events at once" in setting_calls.change_settings.summary
    assert "hush" not in json.dumps(list(Activity.objects.values()), default=str)


def test_settings_that_are_not_there_or_not_right(world: World, client: DeployClient) -> None:
    package = make_package(
        world.cast.app, world.cast.alice, "2.0.0", constants=[{"name": "LIMIT", "type": "integer", "default": 5}]
    )
    client.transport("calc", "Test", str(package.key))
    for wanted, status, code in (
        ({"Constants": [{"Name": "NO", "Value": "1"}]}, 400, "CONSTANT_NOT_FOUND"),
        ({"ScheduledEvents": [{"Name": "no", "Value": "Enabled"}]}, 400, "SCHEDULED_EVENT_NOT_FOUND"),
        ({"Constants": [{"Name": "LIMIT", "Value": "many"}]}, 400, "INVALID_REQUEST"),
        ({"Constants": [{"Name": "LIMIT"}]}, 400, "INVALID_REQUEST"),
        ({"Constants": "LIMIT"}, 400, "INVALID_REQUEST"),
        ({"CustomSettings": [{"Name": "a", "Value": "b"}]}, 400, "INVALID_REQUEST"),
    ):
        refused(lambda wanted=wanted: client.set_settings("calc", "Test", wanted), status, code)
    assert client.settings("calc", "Test")["Constants"][0]["Value"] == "5"


def test_settings_that_no_key_of_the_portal_fits(world: World, client: DeployClient, settings: Any) -> None:
    constants = [{"name": "GREETING", "type": "string", "default": "Hello"}]
    client.transport(
        "calc", "Test", str(make_package(world.cast.app, world.cast.alice, "2.0.0", constants=constants).key)
    )
    client.set_settings("calc", "Test", {"Constants": [{"Name": "GREETING", "Value": "Hi"}]})
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]
    says = refused(lambda: client.settings("calc", "Test"), 500, "INTERNAL_SERVER_ERROR")
    assert "Tell its operator" in says


def test_a_tag_is_set_shown_and_taken_away(world: World, client: DeployClient) -> None:
    refused(lambda: client.tag("calc", "Test"), 404, "NOT_FOUND")
    assert client.set_tag("calc", "Test", "europe") == {"Tag": "europe"}
    assert client.tag("calc", "test") == {"Tag": "europe"}
    assert client.delete_tag("calc", "Test") == {"Tag": "europe"}
    refused(lambda: client.delete_tag("calc", "Test"), 404, "NOT_FOUND")
    refused(lambda: client.set_tag("calc", "Test", "x" * 101), 400, "INVALID_REQUEST")
    assert Activity.objects.filter(act=Act.ENVIRONMENT_TAGGED).count() == 2


def _by(world: World) -> Any:
    from accounts.actor import Actor

    return Actor(world.cast.alice)
