"""The `csg405` command: the group of all commands, and the command line of a single stage."""

import click

from pipeline.cli.lazy import Lazy, LazyGroup

STAGE = "pipeline.cli.stage:command_of"
COMMANDS = {
    "run": Lazy("pipeline.cli.run:run", "Run crawl, annotate, filter or single stages, or go on with it"),
    "discard": Lazy("pipeline.cli.discard:discard", "Free downloads of which nothing more is needed"),
    "status": Lazy("pipeline.cli.looks:status", "How far each stage is, and whether the run is well"),
    "runs": Lazy("pipeline.cli.runs:list_runs", "The runs that are there: what each holds, who is at work"),
    "show": Lazy("pipeline.cli.looks:show", "The whole story of a video, clip or person"),
    "failed": Lazy("pipeline.cli.looks:failed", "What failed, at which stage, and why"),
    "availability": Lazy("pipeline.cli.availability:availability", "Which videos and clips still exist"),
    "report": Lazy("pipeline.cli.report:report", "The page about a run: where it lies; --serve shows it"),
    "what-if": Lazy("pipeline.cli.what_if:command", "Who would be kept with other thresholds"),
    "table": Lazy("pipeline.cli.tables:table", "Write a table to one file, Parquet or CSV"),
    "check": Lazy("pipeline.cli.check:check", "What is missing or damaged, and what makes it anew"),
    "retry": Lazy("pipeline.cli.tables:retry", "Forget failures or rejections, so that they are tried again"),
    "opt-out": Lazy("pipeline.cli.opt_out:opt_out", "Leave videos and channels out, and remove what is there"),
    "compact": Lazy("pipeline.cli.tables:compact", "Join small parts of tables into large ones"),
    "gc": Lazy("pipeline.cli.tables:gc", "Remove files that no winning row needs"),
    "release": Lazy("pipeline.cli.release:release", "What may be published: links, boxes, skeletons, measures"),
    "takedown": Lazy("pipeline.cli.takedown:takedown", "Works out of a run, a release, and all that follows"),
    "export": Lazy("pipeline.cli.export:export", "The shards of a run in another form: webdataset"),
    "train": Lazy(STAGE, "Train the audio-to-skeleton model on the shards", "train"),
    "generate": Lazy(STAGE, "A motion of a voice, and a video of it", "generate"),
    "evaluate": Lazy(STAGE, "Score generated videos as the paper's table 2 does", "evaluate"),
    "import-model": Lazy(
        "pipeline.cli.import_model:import_model", "A checkpoint of the paper's release as a model of ours"
    ),
    "doctor": Lazy("pipeline.cli.doctor:doctor", "Whether this machine has what a run needs, and what to do"),
    "models": Lazy("pipeline.cli.catalogue:models", "The nets: which there are, which are here; fetch, pin"),
    "profile": Lazy("pipeline.cli.catalogue:profile", "Profiles: what runs, with which settings; list, show"),
    "completion": Lazy("pipeline.cli.completion:completion", "What makes bash, zsh or fish complete commands"),
}
SECTIONS = {
    "Build": ["run", "discard"],
    "Look": ["status", "runs", "show", "failed", "report", "what-if", "availability", "table"],
    "Mend": ["check", "retry", "opt-out", "compact", "gc"],
    "Publish": ["release", "takedown", "export"],
    "Learn": ["train", "import-model", "generate", "evaluate"],
    "Set up": ["doctor", "models", "profile", "completion"],
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    sections=SECTIONS,
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
    Lazy(STAGE, "", name).load()(prog_name=f"python -m stages.{name}")
