"""What tests of the Deploy API share: the cast with packages, a worker with a runtime in memory, clients with keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import User
from deployments.flows import request_job
from deployments.models import Job, Package
from deployments.states import JobKind
from deployments.worker import Worker
from environments import api_keys, api_limits
from environments.models import ApiKey, App, Environment
from environments.permissions import Permission
from tests.cast import Cast
from tests.deployments.api.client import DeployClient, Reply
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package


@dataclass(frozen=True)
class Replied:
    status_code: int
    headers: Mapping[str, str]
    content: bytes


def through_django(browser: Client | None = None) -> Any:
    """Send requests to the portal in this process, from a browser with cookies of its own if one is given."""
    client = browser or Client(enforce_csrf_checks=True)

    def send(method: str, path: str, headers: Mapping[str, str], body: bytes, kind: str) -> Reply:
        reply: Any = client.generic(method, path, body, content_type=kind, headers=dict(headers))
        return Replied(reply.status_code, dict(reply.headers), reply.getvalue())

    return send


@dataclass
class World:
    """The app `calc` with two packages in its repository; nothing is on its environments."""

    cast: Cast
    runtime: FakeRuntime
    worker: Worker
    old: Package
    new: Package
    made: list[ApiKey] = field(default_factory=list)

    def key(
        self,
        person: User | None = None,
        *,
        production: Iterable[Environment] = (),
        apps: Iterable[App] = (),
        read_only: bool = False,
        lasts: timedelta = timedelta(days=90),
    ) -> tuple[ApiKey, str]:
        """Make a key for a person (Alice); with production behind a window of theirs."""
        person, production = person or self.cast.alice, list(production)
        by = actor_with_window(person) if production else Actor(person)
        name = f"CI {len(self.made) + 1}"
        apps = list(apps) or [self.cast.app]
        key, text = api_keys.make(by, name, apps, production, read_only=read_only, lasts=lasts)
        self.made.append(key)
        return key, text

    def client(self, person: User | None = None, **options: Any) -> DeployClient:
        person = person or self.cast.alice
        return DeployClient(through_django(), person.email, self.key(person, **options)[1])

    def open_production(self, person: User, *permissions: Permission) -> None:
        """Let Alice grant API Rights on production, and what else is named."""
        self.cast.grant(person, self.cast.production, Permission.API, *permissions)

    def work(self) -> None:
        """Have everything carried out that waits."""
        while self.worker.run_once():
            pass

    def jobs(self, environment: Environment | None = None) -> list[str]:
        found = Job.objects.filter(environment=environment or self.cast.test).order_by("number")
        return [f"{job.kind} {job.state}" for job in found]

    def running(self, environment: Environment, package: Package) -> None:
        """Have a package run on an environment, as somebody's transport on the page leaves it."""
        request_job(JobKind.TRANSPORT, environment, Actor(self.cast.alice, via="shell"), package)
        self.work()


@pytest.fixture(autouse=True)
def fresh_limits() -> Iterator[None]:
    api_limits.limiter.forget()
    yield
    api_limits.limiter.forget()


@pytest.fixture
def world(cast: Cast, settings: Any) -> World:
    settings.HEALTH_PATIENCE = 0
    runtime = FakeRuntime()
    worker = Worker(runtime, "worker")
    old, new = (make_package(cast.app, cast.alice, version) for version in ("1.0.0", "1.1.0"))
    return World(cast, runtime, worker, old, new)
