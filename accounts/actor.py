"""Who acts, from where and by which way; every change asks for one."""

from dataclasses import dataclass
from uuid import UUID

from accounts.http import PortalRequest
from accounts.models import User


@dataclass(frozen=True)
class Actor:
    """A person who acts: `via` is browser, admin, worker, shell or API; `window` the one they act under."""

    user: User
    via: str = "browser"
    address: str = ""
    browser: str = ""
    window: UUID | None = None

    @classmethod
    def of(cls, request: PortalRequest, via: str = "browser") -> "Actor":
        window = request.window
        return cls(request.user, via, request.address, request.browser, window.pk if window else None)
