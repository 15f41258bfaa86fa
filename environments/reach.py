"""Who may do what, where, since when and through whom: what the pages about permissions read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import Case, Count, Exists, OuterRef, Prefetch, Q, QuerySet, When
from django.utils import timezone

from accounts.models import Authenticator, User
from environments.models import ApiKey, App, Environment, Membership, NodePermission
from environments.permissions import USED_BY_API, Permission, Standing, allowed

Settings = Mapping[Permission, NodePermission]  # as somebody set it; what is missing is as by default


@dataclass(frozen=True)
class Holding:
    """A permission of a member on an environment; `row` says since when and by whom, where somebody set it."""

    permission: Permission
    held: bool
    as_contact: bool
    row: NodePermission | None


@dataclass(frozen=True)
class Place:
    """What a member holds on one environment; `without_code` when the Deploy API lets them use some of it."""

    environment: Environment
    holdings: list[Holding]

    @property
    def held(self) -> list[Holding]:
        return [holding for holding in self.holdings if holding.held]

    @property
    def without_code(self) -> bool:
        held = {holding.permission for holding in self.held}
        return Permission.API in held and not held.isdisjoint(USED_BY_API)


@dataclass(frozen=True)
class Person:
    """A member with what they hold; `authenticator` is the one in force, without its secret.

    `keys` are the API keys that reach production here, each with the environments that it reaches.
    """

    membership: Membership
    is_technical_contact: bool
    places: list[Place]
    authenticator: Authenticator | None
    keys: list[ApiKey] = field(default_factory=list)

    @property
    def without_code(self) -> bool:
        return any(place.environment.is_production and place.without_code for place in self.places)


@dataclass(frozen=True)
class Summary:
    """How many active people can reach production: `others` can look with a code; `named` need no code."""

    people: int
    others: int
    bare: int
    without_code: int
    named: list[str]


MOST_NAMED = 5


def settings_on(environments: Iterable[Environment], members: Iterable[Membership]) -> dict[tuple[int, int], Settings]:
    """Read what was set for these members there, by (membership, environment), in one query."""
    found: dict[tuple[int, int], dict[Permission, NodePermission]] = {}
    rows = NodePermission.objects.filter(environment__in=list(environments), membership__in=list(members))
    for row in rows:
        found.setdefault((row.membership_id, row.environment_id), {})[Permission(row.permission)] = row
    return dict(found)


def standing_with(membership: Membership, app: App, settings: Settings) -> Standing:
    """Say how a member stands on the environment that these settings are of."""
    return Standing(
        is_technical_contact=app.technical_contact_id == membership.user_id,
        deploys=membership.role.deploys,
        carries_team=membership.role.manages_team,
        settings={permission: row.granted for permission, row in settings.items()},
    )


def people_of(app: App, environments: Iterable[Environment], members: Iterable[Membership]) -> list[Person]:
    """Say what each of these members holds on these environments, in as many queries, however many they are."""
    environments, members = list(environments), list(members)
    settings = settings_on(environments, members)
    confirmed = Authenticator.objects.filter(user__in=[m.user_id for m in members], confirmed=True)
    authenticators = {found.user_id: found for found in confirmed.defer("secret")}
    keys = _keys_reaching([each for each in environments if each.is_production], members)
    return [
        Person(
            member,
            app.technical_contact_id == member.user_id,
            [_place(member, app, each, settings.get((member.pk, each.pk), {})) for each in environments],
            authenticators.get(member.user_id),
            keys.get(member.user_id, []),
        )
        for member in members
    ]


def _keys_reaching(production: list[Environment], members: Iterable[Membership]) -> dict[int, list[ApiKey]]:
    """Give the keys in force that reach these environments, by person."""
    keys = ApiKey.objects.in_force(timezone.now()).reaching(production).filter(user__in=[m.user_id for m in members])
    here = Prefetch("production", Environment.objects.filter(pk__in=[each.pk for each in production]))
    found: dict[int, list[ApiKey]] = {}
    for key in keys.prefetch_related(here):
        found.setdefault(key.user_id, []).append(key)
    return found


def _place(membership: Membership, app: App, environment: Environment, settings: Settings) -> Place:
    standing = standing_with(membership, app, settings)
    holdings = []
    for permission in Permission:
        as_contact = standing.is_technical_contact and not (permission is Permission.API and environment.is_production)
        held = allowed(permission, standing, environment.is_production)
        holdings.append(Holding(permission, held, as_contact, settings.get(permission)))
    return Place(environment, holdings)


def reaching_production(app: App) -> QuerySet[Membership]:
    """Find the members with any permission on a production environment, the Technical Contact first."""
    contact = Q(user=app.technical_contact_id)
    granted = NodePermission.objects.filter(membership=OuterRef("pk"), environment__is_production=True, granted=True)
    members = app.memberships.filter(role__deploys=True).filter(contact | Exists(granted))
    return members.select_related("user", "role").order_by(Case(When(contact, then=0), default=1), "user__name", "pk")


def summary_of(app: App) -> Summary:
    """Count who can reach production, who of them has no authenticator, and who needs no code."""
    reaching = reaching_production(app).filter(user__is_active=True)
    authenticator = Authenticator.objects.filter(user=OuterRef("user"), confirmed=True)
    counts = reaching.order_by().aggregate(people=Count("pk"), bare=Count("pk", filter=~Exists(authenticator)))
    deployers = app.memberships.filter(role__deploys=True, user__is_active=True).count()
    free = reaching.filter(Exists(_api_with_something_to_use(app)))
    return Summary(
        people=counts["people"],
        others=deployers - counts["people"],
        bare=counts["bare"],
        without_code=free.count(),
        named=[member.user.name for member in free[:MOST_NAMED]],
    )


def _api_with_something_to_use(app: App) -> QuerySet[NodePermission]:
    granted = NodePermission.objects.filter(granted=True)
    usable = granted.filter(
        environment=OuterRef("environment"), membership=OuterRef("membership"), permission__in=USED_BY_API
    )
    api = granted.filter(membership=OuterRef("pk"), environment__is_production=True, permission=Permission.API)
    return api.filter(Q(membership__user=app.technical_contact_id) | Exists(usable))


def search(members: QuerySet[Membership], words: str) -> QuerySet[Membership]:
    """Keep the members whose name or e-mail address has these words in it."""
    return members.filter(Q(user__name__icontains=words) | Q(user__email__icontains=words)) if words else members


def deployers_of(app: App) -> QuerySet[Membership]:
    """Find the members who can hold node permissions, by name."""
    return app.memberships.filter(role__deploys=True).select_related("user", "role").order_by("user__name", "pk")


def is_still_deployer(app: App, user: User) -> bool:
    return app.memberships.filter(user=user, role__deploys=True).exists()
