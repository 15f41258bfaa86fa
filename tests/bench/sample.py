"""Apps of several sizes in a database of the benchmark's own, all of them Alice's."""

import tempfile
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import User
from deployments.models import Job, Live, Package
from deployments.packages import Manifest, build_archive, inspect
from deployments.states import EnvironmentState, JobKind, JobState
from environments.flows import create_app
from environments.models import App, Environment
from portal.env import BASE_DIR

CALC = BASE_DIR / "tests" / "packages" / "calc" / "1.1.0"


def fill(alice: User, sizes: tuple[int, ...]) -> None:
    """Make an app `calc-<size>` of each size: so many packages, deployments and activity entries."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "calc.zip"
        build_archive(CALC, archive)
        with archive.open("rb") as file:
            manifest = inspect(file)
    for size in sizes:
        app = create_app(Actor(alice), f"Calc with {size}", f"calc-{size}")
        packages = _packages(app, alice, manifest, size)
        for environment in app.environments.all():
            _deployments(environment, alice, packages)
        for package in packages:
            record(Act.PACKAGE_UPLOADED, Actor(alice), str(package), app=app, after={"sha256": package.sha256})


def _packages(app: App, alice: User, manifest: Manifest, size: int) -> list[Package]:
    rows = (
        Package(
            app=app,
            name="calc",
            version=f"1.0.{number}",
            file=f"packages/{number}.zip",
            size=12_345,
            sha256=f"{number:064x}",
            manifest=manifest.as_dict(),
            uploaded_by=alice,
            uploader_name=alice.name,
            expires_at=timezone.now() + timedelta(days=15),
        )
        for number in range(size)
    )
    return Package.objects.bulk_create(rows)


def _deployments(environment: Environment, alice: User, packages: list[Package]) -> None:
    Job.objects.bulk_create(
        Job(
            environment=environment,
            number=number,
            kind=JobKind.TRANSPORT,
            state=JobState.DONE,
            package=package,
            package_name=str(package),
            asked_by=alice,
            asker_name=alice.name,
            via="browser",
            started_at=timezone.now(),
            ended_at=timezone.now(),
            result=f"{package} runs on {environment.name}.",
        )
        for number, package in enumerate(packages, 1)
    )
    Live.objects.create(
        environment=environment, state=EnvironmentState.RUNNING, package=packages[-1], instance=len(packages)
    )
