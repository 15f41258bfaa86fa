"""Who acts, from where and by which way; every change asks for one."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from accounts.http import PortalRequest
from accounts.models import User

API = "API"


@dataclass(frozen=True)
class Key:
    """The API key by which somebody acts; its secret is known to nobody but them."""

    pk: int
    shown: str  # its name and the public part

    def __str__(self) -> str:
        return self.shown


@dataclass(frozen=True)
class Actor:
    """A person who acts: `via` is browser, admin, worker, shell or API; `window` the one they act under.

    `key` is the API key by which they do, and by which they asked for what a worker carries out. `since` is when they
    began what takes long: a window that was open then counts, even where it ran out meanwhile.
    """

    user: User
    via: str = "browser"
    address: str = ""
    browser: str = ""
    window: UUID | None = None
    key: Key | None = None
    since: datetime | None = None

    @classmethod
    def of(cls, request: PortalRequest, via: str = "browser") -> "Actor":
        window, key = request.window, getattr(request, "key", None)
        via = API if key else via
        return cls(request.user, via, request.address, request.browser, window.pk if window else None, key)

    @classmethod
    def of_upload(cls, request: PortalRequest) -> "Actor":
        """Give who uploads: what began in time is not thrown away when it ends late (PORTAL, gate, 6)."""
        return replace(cls.of(request), since=request.begun)
