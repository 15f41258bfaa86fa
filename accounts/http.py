"""What the middleware adds to each request, for the type checker and for readers."""

from datetime import datetime

from django.http import HttpRequest

from accounts.models import ProductionWindow, User


class PortalRequest(HttpRequest):
    """A request by somebody who is signed in."""

    user: User
    window: ProductionWindow | None
    address: str
    browser: str
    begun: datetime
