"""The nets that the stages of a profile want: which are here, with the hash that they should have."""

from collections.abc import Iterator, Sequence

from pipeline.engine.profile import Profile
from pipeline.engine.stage_nets import optional_names
from pipeline.registry.archives import BadModel
from pipeline.registry.models import MissingModel, Registry
from pipeline.views.doctor.finding import MISSING, OK, WARN, Finding

_MEGA = 1e6


def nets(profile: Profile, models: Registry) -> Iterator[Finding]:
    """One finding for the nets that are here, one for those that will be fetched, one for those that help; others one by one."""
    here: dict[str, None] = {}
    fetched: dict[str, None] = {}
    helping: dict[str, None] = {}
    for stage in profile.all_stages:
        settings = profile.stage(stage)
        for names in settings.model_names():
            try:
                here[models.resolve(names).name] = None
            except BadModel as error:
                yield Finding(MISSING, "nets", f"{stage}: {error}", f"csg405 models fetch {names[0]}")
            except MissingModel as error:
                if one := _fetchable(names, models):
                    fetched[one] = None
                else:
                    yield _absent(stage, names, str(error), required=stage in profile.required)
        for names in optional_names(settings):
            try:
                found = models.optional(names)
                (here if found else helping)[found.name if found else names[0]] = None
            except BadModel as error:
                yield Finding(MISSING, "nets", f"{stage}: {error}", f"csg405 models fetch {names[0]}")
    yield from _summed_up(models, list(here), list(fetched), list(helping))


def _summed_up(models: Registry, here: list[str], fetched: list[str], helping: list[str]) -> Iterator[Finding]:
    if here:
        yield Finding(OK, "nets", f"here, with the right hash: {', '.join(here)}")
    if fetched:
        size = sum(models.entry(name).bytes or 0 for name in fetched) / _MEGA
        text = f"not here, fetched once ({size:.0f} MB) when needed: {', '.join(fetched)}"
        yield Finding(WARN, "nets", text, f"to fetch them now: csg405 models fetch {' '.join(fetched)}")
    if helping:
        pinned = [name for name in helping if not models.entry(name).sha256]
        pin = f"; then, for those that you trust: csg405 models pin NAME ({', '.join(pinned)})" if pinned else ""
        text = f"not here, and stages do less without: {', '.join(helping)}"
        yield Finding(WARN, "nets", text, f"csg405 models fetch {' '.join(helping)}{pin}")


def _fetchable(names: Sequence[str], models: Registry) -> str:
    """The first of these nets that a run fetches or builds by itself; "" where there is none."""
    entries = [(name, models.entry(name)) for name in names]
    return next((name for name, one in entries if one.builder or (one.url and one.sha256 and not one.token)), "")


def _absent(stage: str, names: Sequence[str], advice: str, *, required: bool) -> Finding:
    then = "the profile requires it" if required else "it will be skipped"
    return Finding(MISSING if required else WARN, "nets", f"{stage}: {' or '.join(names)} is not here: {then}", advice)
