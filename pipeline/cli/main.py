"""The `csg405` command: the group of all commands, and the command line of a single stage."""

import click

from pipeline.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "run": Lazy(
        "pipeline.cli.run:run",
        "Run targets (crawl, annotate, filter ...) or single stages; what is done already is not done again.",
    ),
    "status": Lazy(
        "pipeline.cli.looks:status",
        "The funnel: units, ok, rejected, failed, pending, hours, rate, time left, bytes, stage by stage.",
    ),
    "show": Lazy(
        "pipeline.cli.looks:show",
        "The whole story of a video, clip or person: every stage, measure, threshold and reason.",
    ),
    "failed": Lazy(
        "pipeline.cli.looks:failed",
        "Units that failed, with stage, reason and what happened; of all stages, or of those of some targets.",
    ),
    "check": Lazy(
        "pipeline.cli.check:check",
        "Compare a run with what was promised: what is missing or damaged, what makes it anew, what cannot come back.",
    ),
    "availability": Lazy(
        "pipeline.cli.availability:availability",
        "Of N videos and M clips: how many live, dead and of what, blocked, unknown.",
    ),
    "retry": Lazy(
        "pipeline.cli.tables:retry",
        "Forget rejections or failures, so that the next run tries those units again.",
    ),
    "discard": Lazy(
        "pipeline.cli.discard:discard",
        "Free the downloads that every stage of the profile is done with; `retry --refetch` brings them back.",
    ),
    "opt-out": Lazy(
        "pipeline.cli.opt_out:opt_out",
        "Leave videos (yt:ID, a link) and channels (id, @handle, name, a link) out of a run, and remove what is there.",
    ),
    "table": Lazy(
        "pipeline.cli.tables:table",
        "Write a table's clean rows (winning, live, without bookkeeping) to one file, those of evaluations with the "
        "store's name.",
    ),
    "compact": Lazy("pipeline.cli.tables:compact", "Join small parts of tables into large ones; safe to kill."),
    "gc": Lazy("pipeline.cli.tables:gc", "Remove files that no winning row needs; safe to kill."),
    "import-model": Lazy(
        "pipeline.cli.import_model:import_model",
        "Make a model for `generate` and `evaluate` of the authors' published audio-to-skeleton checkpoint.",
    ),
    "models": Lazy("pipeline.cli.catalogue:models", "The nets: which there are, which are here; `fetch` and `pin`."),
    "profile": Lazy("pipeline.cli.catalogue:profile", "Profiles: what runs, with which settings."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="csg405")
def main() -> None:
    """Builds the CSG-405 co-speech gesture video data set and trains on it.

    Ends with 0 when all is done; 1 when it had to stop, and the same command goes on; 2 for a wrong call, or an input that holds
    nothing; 3 when all was tried and units failed that should not have (crashed, timed out, out of memory, a bug); 130 when it was
    interrupted. Units that the network kept from being done are told, and do not count. The last line says the same.
    """


def stage_main(name: str) -> None:
    """The command line of `python -m stages.NAME`: run this one stage or program; `--key value` sets one of its settings."""
    from pipeline.cli.stage import command_of  # here, so that `csg405 --help` loads no profile and no table

    command_of(name)(prog_name=f"python -m stages.{name}")
