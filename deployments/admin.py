"""The admin of packages and jobs: what there is and what happened, to read. Contents and output stay with the team."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from deployments.models import Job, Package, Step, Worker
from portal.admin_site import PortalAdmin
from portal.templatetags.portal import filesize, inert, lasting


@admin.register(Package)
class PackageAdmin(PortalAdmin[Package]):
    list_display = ("__str__", "app", "how_large", "uploader_name", "created_at", "expires_at")
    search_fields = ("name", "version", "app__name", "sha256", "uploader_name")
    list_select_related = ("app",)
    fields = (
        "name",
        "version",
        "app",
        "description",
        "how_large",
        "sha256",
        "uploader_name",
        "created_at",
        "expires_at",
    )

    @admin.display(description="Size")
    def how_large(self, package: Package) -> str:
        return filesize(package.size)


class StepInline(admin.TabularInline[Step, Job]):
    model = Step
    fields = readonly_fields = ("step", "state", "took")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Step")
    def step(self, row: Step) -> str:
        return row.get_name_display()

    @admin.display(description="Took")
    def took(self, row: Step) -> str:
        return lasting(row.started_at, row.ended_at) or "–"


@admin.register(Job)
class JobAdmin(PortalAdmin[Job]):
    list_display = ("__str__", "app", "environment_name", "number", "state", "asker_name", "asked_at", "via")
    list_filter = ("kind", "state", "environment__is_production", ("asked_at", admin.DateFieldListFilter))
    search_fields = ("package_name", "environment__app__name", "environment__name", "asker_name", "worker")
    list_select_related = ("environment__app",)
    fields = (
        *("kind", "app", "environment_name", "number", "state", "package_name", "result_shown", "note_shown"),
        *("asker_name", "via", "address", "asked_at", "started_at", "ended_at", "worker", "heartbeat"),
    )
    inlines = (StepInline,)

    @admin.display(description="App")
    def app(self, job: Job) -> str:
        return job.environment.app.name

    @admin.display(description="Environment")
    def environment_name(self, job: Job) -> str:
        return job.environment.name

    @admin.display(description="Result")
    def result_shown(self, job: Job) -> str:
        return inert(job.result) or "–"

    @admin.display(description="Note")
    def note_shown(self, job: Job) -> str:
        return inert(job.note) or "–"


@admin.register(Worker)
class WorkerAdmin(PortalAdmin[Worker]):
    list_display = ("name", "started_at", "heartbeat")
    list_display_links = None
    fields = ("name", "started_at", "heartbeat")
