"""Every call of the Deploy API: its address and its methods. Addresses, descriptions and examples are made from it."""

from deployments.api import (
    app_calls,
    job_calls,
    log_calls,
    package_calls,
    setting_calls,
    snapshot_calls,
    tag_calls,
)
from deployments.api.calls import Address, at

APP = "apps/{AppId}"
ENVIRONMENT = APP + "/environments/{Mode}"
PACKAGES = APP + "/packages"

CALLS: list[Address] = [
    at("apps/", "apps", get=app_calls.apps),
    at(APP, "app", get=app_calls.app),
    at(APP + "/environments/", "environments", get=app_calls.environments),
    at(ENVIRONMENT, "environment", get=app_calls.environment),
    at(ENVIRONMENT + "/package", "environment_package", get=app_calls.package),
    at(ENVIRONMENT + "/start", "start", post=job_calls.start),
    at(ENVIRONMENT + "/start/{JobId}", "start_progress", get=job_calls.progress),
    at(ENVIRONMENT + "/stop", "stop", post=job_calls.stop),
    at(ENVIRONMENT + "/transport", "transport", post=job_calls.transport),
    at(ENVIRONMENT + "/clean", "clean", post=job_calls.clean),
    at(ENVIRONMENT + "/settings/", "settings", get=setting_calls.settings, post=setting_calls.change_settings),
    at(ENVIRONMENT + "/snapshots", "snapshots", get=snapshot_calls.snapshots, post=snapshot_calls.create),
    at(ENVIRONMENT + "/snapshots/{SnapshotId}", "snapshot", get=snapshot_calls.snapshot),
    at(ENVIRONMENT + "/restore/{SnapshotId}", "restore", post=snapshot_calls.restore),
    at(ENVIRONMENT + "/logs/{Date}", "log", get=log_calls.log),
    at(ENVIRONMENT + "/tags", "tags", get=tag_calls.tag, post=tag_calls.change_tag, delete=tag_calls.delete_tag),
    at(PACKAGES + "/", "packages", get=package_calls.packages),
    at(PACKAGES + "/upload", "upload", post=package_calls.upload),
    at(PACKAGES + "/{PackageId}", "package", get=package_calls.package, delete=package_calls.delete),
    at(PACKAGES + "/{PackageId}/download", "download", get=package_calls.download),
]
