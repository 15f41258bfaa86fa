"""What the web server loads."""

import logging
import os

from django.core.checks import Tags, run_checks
from django.core.wsgi import get_wsgi_application
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
application = get_wsgi_application()

for message in run_checks(tags=[Tags.database], databases=["default"]):
    logging.getLogger(__name__).error("%s", message.msg)
connections.close_all()
