"""What the web server loads for the floor: the bare view, with the settings of the portal."""

import django

django.setup()

from tests.bench.bare import BareHandler  # noqa: E402

application = BareHandler()
