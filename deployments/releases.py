"""Brings packages to where they run: their stored archives, what is unpacked of them, and what is started then."""

import errno
from typing import BinaryIO, cast

from deployments.endings import Failed
from deployments.models import Package
from deployments.options import Options
from deployments.packages import PackageRefused
from deployments.runtimes.base import Instance, Runtime, Spec

FULL = (errno.ENOSPC, errno.EDQUOT)


def unpack(runtime: Runtime, package: Package) -> None:
    """Unpack a package where it is not; raises Failed or RuntimeFailure with a sentence."""
    if runtime.has_release(package.sha256):
        return
    try:
        with open_archive(package) as archive:
            runtime.prepare(package.sha256, archive)
    except PackageRefused as refusal:
        raise Failed(refusal.reason) from refusal
    except OSError as error:
        if error.errno in FULL:
            raise Failed(f"There is not enough room on the disk to unpack {package}.") from error
        raise


def spec_of(instance: Instance, package: Package, host: str, options: Options) -> Spec:
    contents = package.contents
    return Spec(instance, package.sha256, contents.web, options.variables_for(contents), host)


def open_archive(package: Package) -> BinaryIO:
    """Open a package's stored file; raises Failed where that can't be."""
    try:
        return cast(BinaryIO, package.file.storage.open(str(package.file.name), "rb"))
    except OSError as error:
        raise Failed(f"The stored file of {package} can't be read. Upload the package again.") from error
