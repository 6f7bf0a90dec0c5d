"""The `csg405` command."""

import json
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.profile import Profile, ProfileError, cores, load
from pipeline.progress import duration
from pipeline.registry import BadModel, MissingModel, Registry

if TYPE_CHECKING:
    from pipeline.table import Store

BAD_USE, STOPPED, INTERRUPTED = 2, 1, 130
KNOWN_ERRORS = {"StageError", "Occupied", "ProfileError", "BadModel", "MissingModel"}


class Fault(click.ClickException):
    """An error that the user can mend: printed in one line, without a traceback."""

    def __init__(self, message: object, code: int = STOPPED) -> None:
        super().__init__(str(message))
        self.exit_code = code


def choose_profile(profile: str, input: str, manifest: str) -> str:
    """The profile to use when the user named none: the demo only when there is nothing else to work on."""
    if profile:
        if profile == "demo" and (input or manifest):
            raise Fault(
                "profile demo brings its own footage and its nets refuse any other: use PROFILE=folder", BAD_USE
            )
        return profile
    return "folder" if input or manifest else "demo"


def _options(function: Any) -> Any:
    """Options that every command about a run shares."""
    for option in (
        click.option("--profile", "-p", default="", envvar="CSG405_PROFILE", help="Profile name, or a TOML file."),
        click.option("--run", "-r", "run_folder", default="", help="Run folder; runs/PROFILE by default."),
        click.option("--input", "-i", "input_", default="", help="Folder of videos, or a list of links."),
        click.option("--manifest", "-m", default="", help="List of links, one a line, or CSV."),
        click.option("--models", default="", envvar="CSG405_MODELS", help="Folder that is searched for nets first."),
        click.option("--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE", help="Change one setting."),
    ):
        function = option(function)
    return function


class Session:
    """A profile, a run folder and the nets, as the command line gave them."""

    def __init__(
        self, profile: str, run_folder: str, input_: str, manifest: str, models: str, sets: Sequence[str]
    ) -> None:
        named = bool(profile or input_ or manifest)
        kept = Path(run_folder) / "profile.toml" if run_folder else None
        name = str(kept) if not named and kept and kept.is_file() else choose_profile(profile, input_, manifest)
        if input_ and manifest:
            raise Fault("give INPUT or MANIFEST, not both: each says what to crawl", BAD_USE)
        given = [f"crawl.input={_quoted(input_ or manifest)}"] if input_ or manifest else []
        try:
            self.profile: Profile = load(name, [*given, *sets])
        except ProfileError as error:
            raise Fault(error, BAD_USE) from error
        self.run = Path(run_folder) if run_folder else Path("runs") / self.profile.name
        if models and not Path(models).is_dir():
            raise Fault(f"MODELS={models} is not a folder", BAD_USE)
        self.models = Registry(Path(models) if models else None)

    @cached_property
    def store(self) -> "Store":
        """The run's tables; one for all stages, so that what was read once is not read again."""
        from pipeline.opt_out import read
        from pipeline.table import Store

        return Store(self.run, read([self.profile.opt_out, self.run / "opt_out.txt"]))

    def keep_profile(self) -> None:
        """Leave the resolved profile in the run folder, for `status`, `report` and whoever reads the run next year."""
        from pipeline import files
        from pipeline.profile import show

        path, text = self.run / "profile.toml", show(self.profile)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            files.write_text(path, text)


def _quoted(text: str) -> str:
    """A path or link as a TOML string; a path that exists is made absolute, because a run remembers it."""
    path = Path(text).expanduser()
    return json.dumps(str(path.absolute()) if path.exists() else text, ensure_ascii=False)


class Guarded(click.Group):
    """Commands whose known errors end in one line and an exit code, and Ctrl-C in a word."""

    def invoke(self, ctx: click.Context) -> Any:
        from pipeline import files

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Fault("interrupted; what was committed is safe, the same command goes on", INTERRUPTED) from None
        except Exception as error:
            if {cls.__name__ for cls in type(error).__mro__} & KNOWN_ERRORS:  # by name: their modules are heavy
                raise Fault(error) from error
            if isinstance(error, OSError):
                known = files.failure_of(error)
                raise Fault(known.detail if known else error) from error
            raise


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="csg405")
def main() -> None:
    """Builds the CSG-405 co-speech gesture video data set and trains on it."""


@main.command()
@click.argument("targets", nargs=-1, required=True)
@_options
@click.option("--workers", type=click.IntRange(0), default=None, help="Processes; 0 runs in this one, for a debugger.")
@click.option("--shard", default="", metavar="I/N", help="Do only the I-th of N parts of the units (I from 0).")
@click.option("--funnel", "with_funnel", is_flag=True, help="Print the funnel at the end, as `status` does.")
def run(targets: Sequence[str], workers: int | None, shard: str, with_funnel: bool, **given: Any) -> None:
    """Run targets (crawl, annotate, filter ...) or single stages; what is done already is not done again."""
    session = Session(**given)
    execute(session, targets, workers, shard)
    if with_funnel:
        _print_funnel(session)
        report = session.run / "report" / "index.html"
        if report.is_file():
            click.echo(f"report: {report.resolve().as_uri()}")


def execute(session: Session, targets: Sequence[str], workers: int | None, shard: str) -> None:
    """Run stages one after the other and print a line for each."""
    from pipeline import files
    from pipeline.lock import Occupied
    from pipeline.runner import Options, Skipped, StageError, run_stage

    try:
        names = session.profile.expand(targets)
        options = Options(
            _workers(session.profile, workers), cores(), _device(session.profile), _shard(shard), session.profile.web
        )
        session.keep_profile()
        for name in names:
            try:
                summary = run_stage(session.profile.stage(name), session.run, session.models, options, session.store)
            except Skipped as skip:
                if name in session.profile.required:
                    raise Fault(f"{skip} (profile {session.profile.name} requires {name})") from skip
                click.echo(f"{name:>16}  skipped: {skip}")
                continue
            click.echo(f"{name:>16}  {_said(summary)}")
            if summary.interrupted:
                raise Fault("interrupted; what was done is committed, the same command goes on", INTERRUPTED)
    except KeyboardInterrupt:
        raise Fault("interrupted; what was committed is safe, the same command goes on", INTERRUPTED) from None
    except (StageError, Occupied, ProfileError, BadModel) as error:
        raise Fault(error) from error
    except OSError as error:
        known = files.failure_of(error)
        raise Fault(known.detail if known else error) from error


def _said(summary: Any) -> str:
    if not summary.pending:
        return (
            f"nothing to do ({summary.units} units)"
            if not summary.seconds
            else f"finished in {duration(summary.seconds)}"
        )
    tally = ", ".join(f"{count} {status}" for status, count in sorted(summary.counts.items()))
    return f"{summary.pending} of {summary.units} units: {tally or 'none'} in {duration(summary.seconds)}"


def _workers(profile: Profile, given: int | None) -> int:
    if given is not None:
        return given
    return profile.machine.workers or cores()


def _device(profile: Profile) -> str:
    """cpu, or cuda when the profile asks for it or finds it."""
    if profile.machine.device != "auto":
        return profile.machine.device
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


def _shard(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, slash, last = text.partition("/")
    if not (slash and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise Fault(f"--shard {text}: expected I/N with 0 <= I < N", BAD_USE)
    return int(first), int(last)


@main.command()
@_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool, **given: Any) -> None:
    """The funnel: units, ok, rejected, failed, pending, hours, rate, time left, bytes, stage by stage."""
    session = Session(**given)
    if not as_json:
        _print_funnel(session)
        return
    import json
    from dataclasses import asdict

    from pipeline.overview import bytes_on_disk, funnel

    session.models.download = False
    states = funnel(session.profile, session.run, session.models, session.store)
    click.echo(json.dumps({"stages": [asdict(s) for s in states], "bytes": bytes_on_disk(session.run)}, indent=1))


def _print_funnel(session: Session) -> None:
    from pipeline.overview import bytes_on_disk, funnel
    from pipeline.screen import print_funnel

    session.models.download = False  # looking must not fetch
    states = funnel(session.profile, session.run, session.models, session.store)
    print_funnel(session.run, states, bytes_on_disk(session.run))


@main.command()
@click.argument("unit")
@_options
def show(unit: str, **given: Any) -> None:
    """The whole story of a video, clip or person: every stage, measure, threshold and reason."""
    from pipeline.overview import story
    from pipeline.screen import print_story

    session = Session(**given)
    chapters = story(session.store, unit)
    if not chapters:
        raise Fault(f"{session.run} knows nothing of {unit}")
    print_story(unit, chapters)


@main.command()
@_options
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Lines at most.")
def failed(limit: int, **given: Any) -> None:
    """Units that failed, with stage, reason and what happened."""
    from pipeline.table import FAILED

    session = Session(**given)
    store = session.store
    found = [o for kind in store.kinds for o in store.outcomes(kind).to_pylist() if o["status"] == FAILED]
    for one in found[:limit]:
        unit = "".join(c if c.isprintable() else "?" for c in one["unit"])  # a file's name may hold what terminals obey
        click.echo(f"{one['stage']:>16}  {unit}  {one['reason']}  x{one['attempt']}: {one['detail']}")
    click.echo(f"{len(found)} failed" + (f", {limit} shown" if len(found) > limit else ""))


@main.command()
@_options
@click.option("--reason", multiple=True, help="Reason code; several may be given.")
@click.option("--stage", "stages", multiple=True, help="Only of these stages.")
@click.option("--all-failed", is_flag=True, help="Everything that failed.")
def retry(reason: Sequence[str], stages: Sequence[str], all_failed: bool, **given: Any) -> None:
    """Forget rejections or failures, so that the next run tries those units again."""
    from pipeline.runner import forget

    if not reason and not all_failed:
        raise Fault("say what to retry: --reason CODE, or --all-failed", BAD_USE)
    session = Session(**given)
    try:
        counts = forget(session.store, set(reason), set(stages), all_failed=all_failed)
    except KeyError as error:
        raise Fault(f"no reason has the code {error}", BAD_USE) from error
    for kind, count in counts.items():
        click.echo(f"{count} units of {kind} will be tried again")
    if not counts:
        click.echo("nothing matches")


@main.command()
@click.argument("kind")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help=".parquet or .csv")
@_options
def table(kind: str, out: Path, **given: Any) -> None:
    """Write a table's clean rows (winning, live, without bookkeeping) to one file."""
    from pipeline import files
    from pipeline.kinds import KINDS

    _known_kind(kind)
    spec = KINDS[kind]
    light = [name for name in spec.schema.names if name not in spec.heavy]
    store = Session(**given).store
    with files.replacing(out) as temporary:
        if out.suffix == ".csv":
            import pyarrow.csv

            rows = store.read(kind, light)
            pyarrow.csv.write_csv(rows, temporary)
        else:
            import pyarrow.parquet

            rows = store.read(kind)
            pyarrow.parquet.write_table(rows, temporary, compression="zstd")
    click.echo(f"{len(rows)} rows of {kind} in {out}")


def _known_kind(kind: str) -> None:
    from pipeline.kinds import KINDS

    if kind not in KINDS:
        raise Fault(f"no table is called {kind!r}; known: {', '.join(KINDS)}", BAD_USE)


@main.command()
@click.argument("kinds", nargs=-1)
@_options
def compact(kinds: Sequence[str], **given: Any) -> None:
    """Join small parts of tables into large ones; safe to kill."""
    from pipeline.upkeep import compact as join

    store = Session(**given).store
    for kind in kinds:
        _known_kind(kind)
    for kind in kinds or store.kinds:
        before, after = join(store, kind)
        click.echo(f"{kind:>16}  {before} files -> {after}")


@main.command()
@click.option("--dry-run", is_flag=True, help="List what would go, remove nothing.")
@_options
def gc(dry_run: bool, **given: Any) -> None:
    """Remove files that no winning row needs; safe to kill."""
    from pipeline.upkeep import collect, waste

    store = Session(**given).store
    if dry_run:
        items = list(waste(store))
        for item in items:
            click.echo(f"{item.bytes:>14,} B  {item.path}  {item.why}")
        click.echo(f"{len(items)} files, {sum(item.bytes for item in items):,} B could go")
        return
    count, size = collect(store)
    click.echo(f"{count} files, {size:,} B removed")


@main.group(invoke_without_command=True)
@click.option("--models", default="", envvar="CSG405_MODELS", help="Folder that is searched for nets first.")
@click.pass_context
def models(context: click.Context, models: str) -> None:
    """The nets: which there are, which are here; `fetch` and `pin`."""
    context.obj = Registry(Path(models) if models else None)
    if context.invoked_subcommand is None:
        from pipeline.screen import print_models

        print_models(context.obj)


@models.command()
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def fetch(registry: Registry, names: Sequence[str]) -> None:
    """Download nets into the cache, with resume, and check their hashes."""
    for name in names:
        try:
            with click.progressbar(length=registry.entry(name).bytes or 1, label=name) as bar:
                seen = 0

                def report(done: int, total: int | None, bar: Any = bar) -> None:
                    nonlocal seen
                    bar.length = total or max(bar.length, done)
                    bar.update(done - seen)
                    seen = done

                path = registry.fetch(name, report)
            click.echo(f"{name}: {registry.checked(name, path).path}")
        except (MissingModel, BadModel) as error:
            raise Fault(error) from error


@models.command()
@click.argument("name")
@click.pass_obj
def pin(registry: Registry, name: str) -> None:
    """Record the hash of a net that you trust, where the registry knows none."""
    try:
        click.echo(f"{name}: sha256 {registry.pin(name)}")
    except MissingModel as error:
        raise Fault(error) from error


@main.group()
def profile() -> None:
    """Profiles: what runs, with which settings."""


@profile.command("list")
def list_profiles() -> None:
    """The profiles that come with the project."""
    from pipeline.profile import shipped

    for name in shipped():
        click.echo(f"{name:>12}  {load(name).description}")


@profile.command("show")
@click.argument("name", default="folder")
@click.option("--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE")
def show_profile(name: str, sets: Sequence[str]) -> None:
    """A profile as annotated TOML: every setting, its value, unit and meaning."""
    from pipeline.profile import show as annotated

    try:
        click.echo(annotated(load(name, sets)), nl=False)
    except ProfileError as error:
        raise Fault(error, BAD_USE) from error


def stage_main(name: str) -> None:
    """The command line of `python -m stages.NAME`: run this one stage; bare `--set key=value` means this stage's key."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=f"Run the stage {name}.")
    @_options
    @click.option("--workers", type=click.IntRange(0), default=None, help="Processes; 0 runs in this one.")
    @click.option("--shard", default="", metavar="I/N", help="Do only the I-th of N parts of the units (I from 0).")
    def command(workers: int | None, shard: str, **given: Any) -> None:
        sets = [text if "." in text.partition("=")[0] else f"{name}.{text}" for text in given.pop("sets")]
        execute(Session(**given, sets=sets), [name], workers, shard)

    command(prog_name=f"python -m stages.{name}")


if __name__ == "__main__":
    sys.exit(main())
