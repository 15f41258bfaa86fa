from django.db import migrations

# PORTAL, "Terms": the roles at the start and which of them carry the deploy permission
ROLES = [
    ("SCRUM Master", True, True),
    ("Business Engineer", True, False),
    ("Product Owner", False, False),
    ("Application Operator", True, False),
    ("Performance Engineer", True, False),
    ("End-user", False, False),
]


def make_roles(apps, schema_editor):
    role = apps.get_model("environments", "Role")
    for order, (name, deploys, manages_team) in enumerate(ROLES):
        role.objects.get_or_create(
            name=name, defaults={"deploys": deploys, "manages_team": manages_team, "order": order}
        )


class Migration(migrations.Migration):
    dependencies = [("environments", "0001_initial")]
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
