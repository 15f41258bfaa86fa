"""`manage.py staff_authenticator EMAIL`: the first authenticator of a member of the support staff, on the terminal."""

import io
from typing import Any

import qrcode
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import authenticators
from accounts.authenticators import CodeRefused, NotAllowed
from accounts.forms import CodeForm
from accounts.models import Authenticator, User


class Command(BaseCommand):
    help = (
        "Sets up the first authenticator of a member of the support staff: shows the QR code, asks for the first code."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="E-mail of the account.")
        parser.add_argument(
            "--invert", action="store_true", help="For a terminal that writes dark on light, if the app can't scan it."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=options["email"].lower()).first()
        if user is None:
            raise CommandError(f"Nobody has an account with the e-mail {options['email']}.")
        try:
            authenticator = authenticators.begin_on_terminal(user)
        except NotAllowed as refused:
            raise CommandError(str(refused)) from refused
        try:
            self.show(authenticators.setup_of(authenticator), options["invert"])
            self.ask(authenticator)
        except (KeyboardInterrupt, EOFError) as error:
            raise CommandError("Nothing was set up: no code was entered.") from error
        finally:
            authenticators.give_up(authenticator)
        self.stdout.write(f"The authenticator of {user.name} is set up. A mail says so to {user.email}.")

    def show(self, setup: authenticators.Setup, invert: bool) -> None:
        self.stdout.write("Scan this with an authenticator app:")
        self.stdout.write(picture_of(setup.uri, invert))
        self.stdout.write(f"Or type this key into it (time-based, six digits): {' '.join(setup.groups)}")

    def ask(self, authenticator: Authenticator) -> None:
        """Ask until a code is right or ten minutes are over."""
        while True:
            form = CodeForm({"code": input("First code: ")})
            if not form.is_valid():
                self.stderr.write(str(form.errors["code"][0]))
                continue
            try:
                return authenticators.confirm_on_terminal(authenticator, form.cleaned_data["code"])
            except CodeRefused as refused:
                if not authenticators.can_be_confirmed(authenticator):
                    raise CommandError(str(refused)) from refused
                self.stderr.write(str(refused))


def picture_of(text: str, invert: bool) -> str:
    """Draw a QR code in half blocks, for a terminal that writes light on dark unless inverted."""
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_L, border=2)
    code.add_data(text)
    drawn = io.StringIO()
    code.print_ascii(out=drawn, invert=not invert)
    return drawn.getvalue()
