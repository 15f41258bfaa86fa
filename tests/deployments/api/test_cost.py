"""What a call costs: few queries, the same number however much there is."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from deployments.models import Live
from environments import settings_flows
from tests.deployments.api.client import DeployClient
from tests.deployments.api.conftest import World
from tests.deployments.fakes import actor_with_window, make_package

AT_MOST = 4


def cost(client: DeployClient, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        client.call("GET", path)
    return len(queries)


def test_the_environments_take_four_queries_at_most_however_many_they_are(world: World) -> None:
    client, path = world.client(), "apps/calc/environments/"
    first, again = cost(client, path), cost(client, path)
    assert first <= AT_MOST
    assert again == first - 1, "when the key was used is noted once a minute"
    by = actor_with_window(world.cast.alice)
    for number in range(6):
        added = settings_flows.add_environment(world.cast.app, by, f"Extra {number}".replace(" ", "-"))
        Live.objects.create(environment=added, state="stopped", package=world.old)
    assert cost(client, path) == again


def test_lists_cost_the_same_for_few_and_many(world: World) -> None:
    client = world.client()
    client.apps()
    paths = ("apps/", "apps/calc/packages/", "apps/calc", f"apps/calc/packages/{world.old.key}")
    few = [cost(client, path) for path in paths]
    for number in range(5):
        make_package(world.cast.app, world.cast.alice, f"7.{number}")
    assert [cost(client, path) for path in paths] == few
    assert max(few) <= AT_MOST
