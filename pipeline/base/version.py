"""Package versions, as recorded with results."""

from importlib.metadata import PackageNotFoundError, version

UNKNOWN = "unknown"  # of a package that is not installed, such as ours where it runs from its folder


def version_of(package: str = "csg405") -> str:
    """The installed version of a package, by default our own; "unknown" where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN
