from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EnvironmentsConfig(AppConfig):
    name = "environments"
    verbose_name = "Apps and environments"

    def ready(self) -> None:
        from accounts.staff import make_support_group
        from environments.first_roles import make_first_roles

        post_migrate.connect(make_first_roles, sender=self)
        post_migrate.connect(make_support_group, sender=self)
