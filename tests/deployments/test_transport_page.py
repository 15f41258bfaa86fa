"""The transport page: what is there, what changes, constants filled in on the spot, all of it confirmed at once."""

from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.actor import Actor
from accounts.models import Activity
from deployments.errors import ChangedMeanwhile, Refused
from deployments.file_changes import MOST_NAMED, file_changes
from deployments.flows import request_job, request_transport, upload_package
from deployments.models import Job, Package
from deployments.option_flows import save_options, stored
from deployments.options import Options, Setting
from deployments.states import JobKind
from deployments.worker import Worker
from environments.permissions import Permission
from tests.cast import Cast, signed_in
from tests.deployments.fakes import FakeRuntime, make_package

TRANSPORT = "/apps/calc/environments/test/transport/"
CONSTANTS = [
    {"name": "GREETING", "default": "Good day"},
    {"name": "KEY", "type": "secret", "description": "From the bank."},
    {"name": "SIZE", "type": "integer"},
]


def text(answer: Any) -> str:
    return str(answer.content.decode())


def on_test(cast: Cast, package: Package) -> FakeRuntime:
    runtime = FakeRuntime()
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    assert Worker(runtime, "tester").run_once()
    return runtime


def test_before_anything_is_typed_it_says_what_runs_and_who_is_deploying(cast: Cast) -> None:
    on_test(cast, make_package(cast.app, cast.alice, "1.0.0"))
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    request_job(JobKind.RESTART, cast.test, Actor(cast.bob))
    page = text(signed_in(cast.alice).get(TRANSPORT))
    for part in ("On Test now", "1.0.0", "since", "Restart Test", "asked for by Bob"):
        assert part in page


def test_constants_without_a_value_are_asked_for_and_saved_with_the_transport(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice, constants=CONSTANTS)
    client = signed_in(cast.alice)
    page = text(client.get(f"{TRANSPORT}?package={package.key}"))
    for part in ('name="secret-constant-KEY"', 'name="constant-SIZE"', "From the bank.", "By default “Good day”."):
        assert part in page
    form = {"package": str(package.key), "revision": "0", "constant-GREETING": "Good day", "note": "At last"}
    answer = client.post(TRANSPORT, form)
    assert answer.status_code == 400
    assert "KEY needs a value" in text(answer)
    assert "SIZE needs a value" in text(answer)
    answer = client.post(TRANSPORT, form | {"secret-constant-KEY": "s3cret", "constant-SIZE": "many"})
    assert answer.status_code == 400
    assert "whole number" in text(answer)
    assert "s3cret" not in text(answer)
    assert not Job.objects.exists()
    assert stored(cast.test).revision == 0
    answer = client.post(TRANSPORT, form | {"secret-constant-KEY": "s3cret", "constant-SIZE": "25"})
    assert answer.status_code == 302
    assert {name: s.value for name, s in stored(cast.test).options.constants.items()} == {"KEY": "s3cret", "SIZE": "25"}
    runtime = FakeRuntime()
    Worker(runtime, "tester").run_once()
    (spec,) = runtime.specs.values()
    assert spec.variables == {"GREETING": "Good day", "KEY": "s3cret", "SIZE": "25"}
    entry = Activity.objects.get(act="options.changed")
    assert (entry.before, entry.after) == (None, {"KEY": "set", "SIZE": "set"})


def test_what_has_a_value_already_is_not_asked_for_again(cast: Cast) -> None:
    options = Options(constants={"KEY": Setting("x", secret=True), "SIZE": Setting("9")})
    save_options(cast.test, Actor(cast.alice), options, 0)
    on_test(cast, make_package(cast.app, cast.alice, "1.0.0", constants=CONSTANTS))
    package = make_package(cast.app, cast.alice, "1.1.0", constants=CONSTANTS)
    page = text(signed_in(cast.alice).get(f"{TRANSPORT}?package={package.key}"))
    assert "constant-" not in page
    assert signed_in(cast.alice).post(TRANSPORT, {"package": str(package.key)}).status_code == 302


def test_a_value_that_the_new_type_does_not_fit_is_asked_for(cast: Cast) -> None:
    save_options(cast.test, Actor(cast.alice), Options(constants={"SIZE": Setting("large")}), 0)
    on_test(cast, make_package(cast.app, cast.alice, "1.0.0", constants=[{"name": "SIZE", "default": "small"}]))
    package = make_package(cast.app, cast.alice, "2.0.0", constants=[{"name": "SIZE", "type": "integer", "default": 1}])
    with pytest.raises(Refused, match="SIZE: The value must be a whole number"):
        request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    assert 'name="constant-SIZE"' in text(signed_in(cast.alice).get(f"{TRANSPORT}?package={package.key}"))


def test_the_flow_refuses_it_too_and_so_does_the_worker(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice, constants=CONSTANTS)
    with pytest.raises(Refused, match=r"start\. KEY has no value\. SIZE has no value\."):
        request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    values = {"KEY": Setting("x", secret=True), "SIZE": Setting("9")}
    job = request_transport(cast.test, Actor(cast.alice), package, "", values, 0)
    save_options(cast.test, Actor(cast.alice), Options(constants={"KEY": values["KEY"]}), 1)
    runtime = FakeRuntime()
    Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    assert (job.state, runtime.calls) == ("cancelled", [])
    assert job.result.endswith("SIZE has no value. Set what is missing first. Nothing was changed.")


def test_constants_and_transport_are_one_change_or_none(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice, constants=CONSTANTS)
    by, only_key = Actor(cast.alice), {"KEY": Setting("x", secret=True)}
    with pytest.raises(Refused):
        request_transport(cast.test, by, package, "", only_key, 0)
    assert stored(cast.test).revision == 0
    save_options(cast.test, by, Options(log_level="DEBUG"), 0)
    with pytest.raises(ChangedMeanwhile, match="Alice changed the options of Test"):
        request_transport(cast.test, by, package, "", only_key, 0)


class TestFiles:
    def package(self, cast: Cast, version: str, **files: str) -> Package:
        content = BytesIO()
        with ZipFile(content, "w") as archive:
            archive.writestr("Procfile", "web: true\n")
            for name, text in files.items():
                archive.writestr(name, text)
        file = SimpleUploadedFile(f"calc-{version}.zip", content.getvalue())
        return upload_package(cast.app, Actor(cast.alice), file, file.name or "")

    def test_new_changed_and_gone_ones_are_named(self, cast: Cast) -> None:
        old = self.package(cast, "1.0", a="1", b="1", c="1")
        new = self.package(cast, "1.1", b="2", c="1", d="1")
        found = file_changes(old, new)
        assert found
        assert (found.added.first, found.changed.first, found.removed.first, found.same) == (["d"], ["b"], ["a"], 2)
        on_test(cast, old)
        page = text(signed_in(cast.alice).get(f"{TRANSPORT}?package={new.key}"))
        for part in ("1 is new, 1 changed, 1 gone; 2 stay the same", "<code>d</code>"):
            assert part in page

    def test_long_lists_are_cut_and_counted(self, cast: Cast) -> None:
        old = self.package(cast, "1.0", a="1")
        new = self.package(cast, "1.1", **{f"f{number:03}": "x" for number in range(MOST_NAMED + 7)})
        found = file_changes(old, new)
        assert found
        assert (len(found.added.first), found.added.count, found.added.more) == (MOST_NAMED, MOST_NAMED + 7, 7)

    def test_where_an_archive_is_gone_the_page_goes_on_without(self, cast: Cast) -> None:
        old, new = self.package(cast, "1.0", a="1"), self.package(cast, "1.1", a="2")
        on_test(cast, old)
        old.file.storage.delete(str(old.file.name))
        assert file_changes(old, new) is None
        assert signed_in(cast.alice).get(f"{TRANSPORT}?package={new.key}").status_code == 200
