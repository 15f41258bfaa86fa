"""A portal with something of everything in it, in a folder of its own, for the tests of its backup."""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.files.storage import default_storage

from accounts.actor import Actor
from deployments.flows import request_job
from deployments.option_flows import save_options, stored
from deployments.options import Options, Setting
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast, make_cast, unlocked
from tests.deployments.fakes import FakeRuntime, make_package

CONSTANT = {"name": "TOKEN", "default": "", "secret": True}


def own_folder(settings: Any, folder: Path) -> Path:
    """Let the portal keep everything below a folder."""
    settings.VAR = folder
    settings.FILE_UPLOAD_TEMP_DIR = folder / "uploads"
    storage = {"BACKEND": settings.STORAGES["default"]["BACKEND"], "OPTIONS": {"location": str(folder / "storage")}}
    settings.STORAGES = settings.STORAGES | {"default": storage}
    for name in ("uploads", "storage"):
        (folder / name).mkdir(parents=True, mode=0o700)
    return folder


def fill() -> Cast:
    """Make people with an authenticator, a package that runs on Test, a secret constant, and a job that waits."""
    cast = make_cast()
    unlocked(cast.alice)
    alice = Actor(cast.alice)
    package = make_package(cast.app, cast.alice, constants=[CONSTANT])
    options = Options(constants={"TOKEN": Setting("a secret of Test", secret=True)})
    save_options(cast.test, alice, options, stored(cast.test).revision)
    request_job(JobKind.TRANSPORT, cast.test, alice, package)
    assert Worker(FakeRuntime(), "tester").run_once()
    request_job(JobKind.TRANSPORT, cast.acceptance, alice, package)
    return cast


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """Give every row of every table."""
    return {model._meta.label: sorted(model._base_manager.values_list(), key=str) for model in apps.get_models()}


def stored_content() -> dict[str, bytes]:
    """Give all that lies in the storage, by name."""
    found: dict[str, bytes] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        inside, names = default_storage.listdir(folder)
        folders += [f"{folder}{name}/" for name in inside]
        for name in names:
            with default_storage.open(folder + name) as file:
                found[folder + name] = file.read()
    return found
