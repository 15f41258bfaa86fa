from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_save


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from accounts import checks  # noqa: F401 - registers the check of the keys
        from accounts.people import keep_nothing_typed
        from accounts.staff import make_support_group

        post_migrate.connect(make_support_group, sender=self)
        pre_save.connect(keep_nothing_typed, sender="axes.AccessAttempt")
