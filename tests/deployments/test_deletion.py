"""Environments and apps that go for good: when they may, what goes with them, what stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity
from deployments import deletion
from deployments.deletion import delete_app, delete_environment, forget_unknown
from deployments.errors import Refused
from deployments.models import Job, Live, Package
from deployments.runtimes.process import ProcessRuntime
from deployments.states import EnvironmentState, JobKind, JobState
from environments import flows
from environments.authority import NotPermitted
from environments.models import App, Environment, Membership
from environments.permissions import Permission
from tests.cast import Cast, signed_in, unlocked
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package

DELETE_TEST = "/apps/calc/settings/environments/test/delete/"
DELETE_PRODUCTION = "/apps/calc/settings/environments/production/delete/"
DELETE_APP = "/apps/calc/settings/delete/"


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(deletion, "get_runtime", lambda: fake)
    return fake


def put_on(environment: Environment, package: Package, state: EnvironmentState) -> None:
    Live.objects.create(environment=environment, state=state, package=package, instance=1)


def delete(client: Client, address: str, name: str) -> Any:
    return client.post(address, {"name": name})


def test_an_empty_environment_is_deleted_by_typing_its_name(
    cast: Cast, runtime: FakeRuntime, django_capture_on_commit_callbacks: Any
) -> None:
    Job.objects.create(environment=cast.test, number=1, kind=JobKind.STOP, state=JobState.DONE, asker_name="x")
    alice = unlocked(cast.alice)
    page = alice.get(DELETE_TEST).content.decode()
    assert "Type Test to confirm" in page
    runtime.kept = {cast.test.pk}
    with django_capture_on_commit_callbacks(execute=True):
        answer = delete(alice, DELETE_TEST, "test ")
    assert answer.headers["Location"] == "/apps/calc/settings/"
    assert not Environment.objects.filter(slug="test").exists()
    assert not Job.objects.exists()
    assert runtime.kept == set()
    entry = Activity.objects.get(act=Act.ENVIRONMENT_DELETED)
    assert (entry.actor_name, entry.environment_id, entry.environment_name) == ("Alice", cast.test.pk, "Test")
    assert entry.before == {"host": "test--calc", "type": "ordinary"}
    assert delete(alice, DELETE_TEST, "Test").status_code == 404


@pytest.mark.parametrize("typed", ["", "Acceptance", "Tes", "Test\x00"])
def test_another_name_deletes_nothing(cast: Cast, typed: str) -> None:
    answer = delete(unlocked(cast.alice), DELETE_TEST, typed)
    assert answer.status_code == 400
    assert Environment.objects.filter(slug="test").exists()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (EnvironmentState.RUNNING, "Test runs. Stop it, then clear it."),
        (EnvironmentState.STOPPED, "Test is stopped, but something is on it. Clear it."),
    ],
)
def test_what_is_not_empty_stays_and_the_page_says_what_to_do_first(
    cast: Cast, state: EnvironmentState, sentence: str
) -> None:
    put_on(cast.test, make_package(cast.app, cast.alice), state)
    alice = unlocked(cast.alice)
    for address in (DELETE_TEST, DELETE_APP):
        page = alice.get(address).content.decode()
        assert sentence in page
        assert "to confirm" not in page
    assert delete(alice, DELETE_TEST, "Test").status_code == 400
    assert delete(alice, DELETE_APP, "Calc").status_code == 400
    acts: tuple[Callable[[Actor], None], ...] = (
        lambda by: delete_environment(cast.test, by),
        lambda by: delete_app(cast.app, by),
    )
    for act in acts:
        with pytest.raises(Refused, match=sentence):
            act(actor_with_window(cast.alice))
    assert cast.app.environments.count() == 3


def test_a_cleared_environment_is_empty(cast: Cast) -> None:
    Live.objects.create(environment=cast.test, state=EnvironmentState.EMPTY)
    assert delete(unlocked(cast.alice), DELETE_TEST, "Test").status_code == 302


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_a_job_under_way_keeps_the_environment(cast: Cast, state: JobState) -> None:
    Job.objects.create(environment=cast.test, number=1, kind=JobKind.TRANSPORT, state=state, asker_name="x")
    acts: tuple[Callable[[Actor], None], ...] = (
        lambda by: delete_environment(cast.test, by),
        lambda by: delete_app(cast.app, by),
    )
    for act in acts:
        with pytest.raises(Refused, match="under way"):
            act(actor_with_window(cast.alice))


@pytest.mark.parametrize(
    ("address", "name"), [(DELETE_TEST, "Test"), (DELETE_PRODUCTION, "Production"), (DELETE_APP, "Calc")]
)
def test_deleting_takes_the_technical_contact_and_a_code(cast: Cast, address: str, name: str) -> None:
    assert delete(signed_in(cast.alice), address, name).headers["Location"].startswith("/authenticator/?")
    assert delete(unlocked(cast.bob), address, name).status_code == 403
    assert delete(unlocked(cast.charlie), address, name).status_code == 404
    assert cast.app.environments.count() == 3
    assert delete(unlocked(cast.alice), address, name).status_code == 302


def test_the_flows_check_once_more(cast: Cast) -> None:
    for by in (Actor(cast.alice), actor_with_window(cast.bob), actor_with_window(cast.sam)):
        with pytest.raises(NotPermitted):
            delete_environment(cast.test, by)
        with pytest.raises(NotPermitted):
            delete_app(cast.app, by)
    assert cast.app.environments.count() == 3


def test_an_app_goes_with_everything_but_its_history(
    cast: Cast, runtime: FakeRuntime, django_capture_on_commit_callbacks: Any
) -> None:
    packages = [make_package(cast.app, cast.alice, version) for version in ("1.0.0", "1.1.0")]
    files = [str(package.file.name) for package in packages]
    Live.objects.create(environment=cast.test, state=EnvironmentState.EMPTY, package=packages[0])
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    theirs = make_package(other, cast.charlie)
    runtime.kept = {cast.test.pk, other.environments.all()[0].pk}
    before = Activity.objects.filter(app_id=cast.app.pk).count()
    with django_capture_on_commit_callbacks(execute=True):
        answer = delete(unlocked(cast.alice), DELETE_APP, "calc")
    assert answer.headers["Location"] == "/"
    assert list(App.objects.all()) == [other]
    assert set(Membership.objects.values_list("app", flat=True)) == {other.pk}
    assert not any(default_storage.exists(name) for name in files)
    assert default_storage.exists(str(theirs.file.name))
    assert runtime.kept == {other.environments.all()[0].pk}
    entry = Activity.objects.get(act=Act.APP_DELETED)
    assert (entry.actor_name, entry.target, entry.app_name) == ("Alice", "Calc", "Calc")
    assert entry.before
    assert entry.before["members"] == ["Alice", "Bob"]
    assert Activity.objects.filter(app_id=cast.app.pk).count() > before
    for person in (cast.alice, cast.bob):
        assert signed_in(person).get("/apps/calc/").status_code == 404
    assert "Calc" in unlocked(cast.sam).get("/admin/accounts/activity/?q=Calc").content.decode()


def test_nothing_of_an_app_is_seen_by_who_makes_one_of_its_name(cast: Cast) -> None:
    delete_app(cast.app, actor_with_window(cast.alice))
    flows.create_app(Actor(cast.charlie), "Calc", "calc")
    page = signed_in(cast.charlie).get("/apps/calc/activity/").content.decode()
    assert "Alice" not in page


def test_files_stay_when_the_rows_stay(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    package = make_package(cast.app, cast.alice)
    by = actor_with_window(cast.alice)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(App, "delete", broken)
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(RuntimeError):
        delete_app(cast.app, by)
    assert default_storage.exists(str(package.file.name))
    assert App.objects.filter(pk=cast.app.pk).exists()
    assert not Activity.objects.filter(act=Act.APP_DELETED).exists()


def test_a_file_that_can_not_go_does_not_keep_the_others(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    names = [str(make_package(cast.app, cast.alice, version).file.name) for version in ("1.0.0", "1.1.0")]
    remove = default_storage.delete

    def stubborn(name: str) -> None:
        if name == names[1]:
            raise PermissionError
        remove(name)

    monkeypatch.setattr(default_storage, "delete", stubborn)
    with django_capture_on_commit_callbacks(execute=True):
        delete_app(cast.app, actor_with_window(cast.alice))
    assert [default_storage.exists(name) for name in names] == [False, True]


def test_what_a_deletion_left_that_was_cut_off_goes_later_and_nothing_else(cast: Cast, runtime: FakeRuntime) -> None:
    """Data of an environment that no row and no record knows stays: the database may be an older one, put back."""
    gone, unknown = cast.test.pk, 4711
    delete_environment(cast.test, actor_with_window(cast.alice))
    runtime.kept = {gone, unknown, cast.production.pk}
    runtime.failing = {"clear"}
    forget_unknown(runtime)
    assert gone in runtime.kept
    runtime.failing = set()
    forget_unknown(runtime)
    assert runtime.kept == {unknown, cast.production.pk}


def test_the_real_runtime_lists_what_it_keeps_and_forgets_it(tmp_path: Path) -> None:
    runtime = ProcessRuntime.from_settings()
    layout = runtime.layout
    for key in (71, 72):
        (layout.data(key)).mkdir(parents=True)
        (layout.data(key) / "files").write_text("data")
        layout.output(key, 1).parent.mkdir(parents=True)
        layout.output(key, 1).write_text("said")
        layout.lines(key).mkdir(parents=True)
    assert {71, 72} <= set(runtime.environments())
    runtime.forget(71)
    assert 71 not in runtime.environments()
    assert layout.data(72).exists()
    assert not layout.output(71, 1).parent.exists()
    assert not layout.lines(71).exists()
    runtime.forget(72)
    runtime.forget(73)
    assert str(layout.var).startswith(str(settings.VAR))
