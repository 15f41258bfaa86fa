"""`manage.py worker`: carries out what was asked for until it is told to end."""

import signal
import socket
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deployments.runtimes import get_runtime
from deployments.worker import Worker


class Command(BaseCommand):
    help = "Carries out transports, starts and stops until it gets SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--name",
            default=socket.gethostname(),
            help="Name of this worker, unique among those that run and the same after a restart.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker(get_runtime(), options["name"])

        def leave(number: int, frame: FrameType | None) -> None:
            worker.leave()

        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, leave)
        worker.run_forever()
