from django.db import migrations

# PostgreSQL keeps the record append-only against anything that gets past the models, too.
CREATE = """
CREATE FUNCTION activity_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'The activity record is append-only.'; END $$;
CREATE TRIGGER activity_is_append_only BEFORE UPDATE OR DELETE ON accounts_activity
FOR EACH ROW EXECUTE FUNCTION activity_is_append_only();
"""
DROP = """
DROP TRIGGER activity_is_append_only ON accounts_activity;
DROP FUNCTION activity_is_append_only();
"""


def on_postgresql(sql):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(sql, params=None)

    return run


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(on_postgresql(CREATE), on_postgresql(DROP))]
