"""The one list of what lies in a run folder: what it holds, which people are in it, who may delete it, and what makes it again.

Opt-out, `gc`, `discard` and the disk figures work on this list. Code that writes something new into a run needs a line here; a test
compares the list with every place in the code that joins a run's folder to a name, and commands tell what they find beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from pipeline.base import files


class Find(Enum):
    """How an opt-out finds what a folder holds of a person, and what it does with it."""

    NOBODY = "it holds nothing of people"
    NAME = "the names of files begin with that of their video, and rows of tables name them: they are deleted"
    CRAWL_NOTE = "the JSON says of which video it is: it is deleted"
    UNREADABLE = "damaged files do not say who is in them: all of them are deleted, their units are done again anyway"
    ROWS = "rows stop counting at once; `csg405 compact` and `csg405 gc` erase them"
    SHARDS = "files are written anew without the person, in one step"
    NOTE = "a note beside each file says whose it is (`pipeline.tables.people`): it is deleted"
    EVALUATED = "files of rows about the person go, and those rows, in one pass over the evaluation's own tables"
    SUM = "it sums up a whole evaluation: deleted when somebody of its test set goes"
    TELL = "a note says who is in it; it cannot be undone, and the command names it"
    MENTION = "made anew by one command: it goes whole as soon as a file in it names the person"
    LINES = "lines that name the person are taken out"
    LIST = "the list of who is left out: it stays; a takedown takes its own lines off, since the ledger refuses them"


class Collect(Enum):
    """What `gc` may delete in a folder, besides what killed processes left half-written."""

    NEVER = "nothing"
    UNNAMED = "files that no winning row names, an hour after they were written"
    REPLACED = "parts that a compaction replaced, and those whose rows count for no unit"
    STALE = "caches of shards that are there no more, while no program uses them"
    ANEW = "all of it, an hour after it was written: whatever needs it makes it again"


@dataclass(frozen=True)
class Place:
    """A folder or kind of file of a run.

    Attributes:
        name: relative to the run; `*` stands for one step.
        holds: what it is.
        find: how a person's part of it is found; `Find.NOBODY` where it holds no data of people.
        made_by: what makes it again.
        collect: what `gc` may delete.
        counted: whether the disk figures of `status` show it.
        grows_with: hours "crawled" or "kept", by which `status` scales its size to 100 h; "" where it does not.
        discardable: whether `csg405 discard` may free files that no stage needs any more.
    """

    name: str
    holds: str
    find: Find
    made_by: str
    collect: Collect = Collect.NEVER
    counted: bool = True
    grows_with: str = ""
    discardable: bool = False


TRAIN, FINETUNE = "python -m stages.train", "python -m stages.finetune"
EVALUATE = "python -m stages.evaluate"

PLACES: tuple[Place, ...] = (
    Place("raw", "downloads", Find.NAME, "csg405 run crawl", Collect.UNNAMED, True, "crawled", discardable=True),
    Place("set-aside", "damaged files, moved away", Find.UNREADABLE, "csg405 run STAGE"),
    Place("tables/*/set-aside/lost.json", "that rows are not made anew yet", Find.NOBODY, "csg405 run STAGE"),
    Place("tables/*/set-aside", "damaged parts, moved away", Find.UNREADABLE, "csg405 run STAGE"),
    Place("tables/opt_out.json", "hashes of who was ever left out", Find.LIST, "csg405 opt-out", counted=False),
    Place("tables", "rows and outcomes of stages", Find.ROWS, "csg405 run STAGE", Collect.REPLACED, True, "kept"),
    Place("clips", "512x512 clips of kept people", Find.NAME, "csg405 run export", Collect.UNNAMED, True, "kept"),
    Place("shards", "Parquet files of all samples", Find.SHARDS, "csg405 run shards", Collect.UNNAMED, True, "kept"),
    Place("previews", "small pictures for the report", Find.NAME, "csg405 run previews", Collect.UNNAMED),
    Place("input", "which file of the input is which video", Find.LINES, "csg405 run crawl", counted=False),
    Place("fetched", "what crawl noted of its downloads", Find.CRAWL_NOTE, "csg405 run crawl"),
    Place("report", "the page about the run", Find.MENTION, "csg405 run report"),
    Place("availability", "the page of which sources still exist", Find.MENTION, "csg405 availability"),
    Place("poses", "how imported poses agree with our own", Find.MENTION, "csg405 run import_poses"),
    Place("manifest_rows.csv", "what became of each row of a manifest", Find.MENTION, "csg405 run manifest_clips"),
    Place("stamps", "what stages last finished with, links of a manifest", Find.MENTION, "csg405 run STAGE"),
    Place("release", "what may be published", Find.MENTION, "csg405 run release"),
    Place(".release.people.json", "who was ever in the release", Find.TELL, "csg405 run release", counted=False),
    Place("training/*/checkpoints", "trained weights", Find.TELL, TRAIN),
    Place("training/*/milestones", "trained weights", Find.TELL, TRAIN),
    Place("training/*/samples", "drawn samples of held-out clips", Find.NOTE, TRAIN),
    Place("training/*/locks", "who is training", Find.NOBODY, TRAIN, counted=False),
    Place("training", "losses, settings and hashes of trainings", Find.NOBODY, TRAIN),
    Place("cache/media", "sound and parts of pictures, decoded once", Find.NAME, "csg405 run STAGE", Collect.ANEW),
    Place("cache/.*.lock", "who builds a cache", Find.NOBODY, TRAIN),
    Place("cache", "shards as training maps them", Find.NOTE, TRAIN, Collect.STALE),
    Place("finetuning/*/trained", "fine-tuned weights of a back-end", Find.TELL, FINETUNE),
    Place("finetuning", "shards as a back-end's fine-tuning reads them", Find.NOTE, FINETUNE),
    Place("generated", "generated motions, videos, a back-end's files", Find.NOTE, "python -m stages.generate"),
    Place("evaluation/*/inputs/pairs.csv", "pairs of references and voices", Find.SUM, EVALUATE),
    Place("evaluation/*/inputs/contents.json", "hashes of the inputs", Find.SUM, EVALUATE),
    Place("evaluation/*/inputs", "pictures and voices for other systems", Find.NOTE, EVALUATE),
    Place("evaluation/*/table2.*", "table 2", Find.SUM, EVALUATE),
    Place("evaluation/*/table3.*", "table 3", Find.SUM, "python -m stages.table3"),
    Place("evaluation/*/call.json", "how an evaluation was called", Find.MENTION, EVALUATE, counted=False),
    Place("evaluation/*/*/call.json", "how it was called for a method", Find.MENTION, EVALUATE, counted=False),
    Place("evaluation/*/tables/*/set-aside/lost.json", "that rows are not made anew yet", Find.NOBODY, EVALUATE),
    Place("evaluation/*/tables/*/set-aside", "damaged parts, moved away", Find.UNREADABLE, EVALUATE),
    Place("evaluation/*/tables", "the people of a test set", Find.EVALUATED, EVALUATE),
    Place("evaluation/*/logs", "what its stages logged", Find.LINES, EVALUATE),
    Place("evaluation/*/locks", "who is at work", Find.NOBODY, EVALUATE),
    Place("evaluation/*/stamps", "hashes of what its stages finished with", Find.NOBODY, EVALUATE),
    Place("evaluation/*/*/summary.json", "what a method comes to", Find.SUM, EVALUATE),
    Place("evaluation/*/*/videos", "videos of pairs", Find.NOTE, EVALUATE, Collect.UNNAMED),
    Place("evaluation/*/*/work", "what a back-end said and left", Find.NOTE, EVALUATE),
    Place("evaluation/*/*/tables/*/set-aside/lost.json", "that rows are not made anew yet", Find.NOBODY, EVALUATE),
    Place("evaluation/*/*/tables/*/set-aside", "damaged parts, moved away", Find.UNREADABLE, EVALUATE),
    Place("evaluation/*/*/tables", "pairs, skeletons and scores", Find.EVALUATED, EVALUATE),
    Place("evaluation/*/*/logs", "what its stages logged", Find.LINES, EVALUATE),
    Place("evaluation/*/*/locks", "who is at work", Find.NOBODY, EVALUATE),
    Place("evaluation/*/*/stamps", "hashes of what its stages finished with", Find.NOBODY, EVALUATE),
    Place("evaluation", "whatever else lies in an evaluation", Find.NOTE, EVALUATE),
    Place("elsewhere", "notes of what was written outside the run", Find.TELL, "whatever wrote it", counted=False),
    Place("logs", "what stages and programs logged", Find.LINES, "whatever logs"),
    Place("ablation", "trainings on planted skeletons", Find.NOBODY, "python -m stages.ablation"),
    Place("theatre", "the demo's puppets", Find.NOBODY, "csg405 run crawl"),
    Place("speech_types", "speech types that a language model named", Find.NOBODY, "csg405 run speech_types"),
    Place("locks", "who is at work", Find.NOBODY, "the next command", counted=False),
    Place("pace.json", "when a host may be asked again", Find.NOBODY, "csg405 run crawl"),
    Place("pace.lock", "lock of pace.json", Find.NOBODY, "csg405 run crawl"),
    Place("profile.toml", "the settings of the last command", Find.NOBODY, "csg405 run TARGET"),
    Place("storage.json", "where raw, clips, previews and shards lie", Find.NOBODY, "csg405 run TARGET"),
    Place("settings.toml", "what was chosen for the run", Find.NOBODY, "csg405 run TARGET"),
    Place("opt_out.txt", "who is left out", Find.LIST, "csg405 opt-out ENTRY"),
    Place("takedowns.jsonl", "hashes of works that were taken down", Find.LIST, "csg405 takedown ENTRY", counted=False),
    Place(".takedown.json", "works that are being taken down", Find.LIST, "csg405 takedown", counted=False),
    Place("opt_out.json", "hashes of who was ever left out", Find.LIST, "csg405 opt-out", counted=False),
)


def place_of(path: PurePath | str) -> Place | None:
    """The place that a path, relative to the run, lies in; None where the list has none."""
    parts = PurePath(path).parts
    for place in PLACES:
        steps = place.name.split("/")
        if len(parts) >= len(steps) and all(map(fnmatchcase, parts, steps)):
            return place
    return None


def found_by(*how: Find) -> tuple[Place, ...]:
    """The places in which a person's files are found in one of these ways."""
    return tuple(place for place in PLACES if place.find in how)


def collected(how: Collect) -> tuple[Place, ...]:
    """The places of which `gc` deletes this."""
    return tuple(place for place in PLACES if place.collect is how)


def unnamed_in(store: str) -> list[str]:
    """The folders whose unnamed files `gc` may delete, relative to a store of the run: "" is the main one."""
    steps = PurePath(store).parts
    split = [place.name.rpartition("/") for place in collected(Collect.UNNAMED)]
    return [
        tail
        for head, _, tail in split
        if len(PurePath(head).parts) == len(steps) and all(map(fnmatchcase, steps, PurePath(head).parts))
    ]


def unknown(run: Path) -> Iterator[Path]:
    """What lies in a run and is not on the list, but for what a kill left half-written."""
    for path in sorted(run.iterdir()) if run.is_dir() else ():
        if place_of(path.name) is None and not path.name.startswith(files.TEMPORARY):
            yield path


def disk_folders(run: Path) -> list[Path]:
    """The folders of a run whose bytes are shown; one that is not on the list is."""
    folders = sorted(path for path in run.iterdir() if path.is_dir()) if run.is_dir() else []
    return [path for path in folders if (place := place_of(path.name)) is None or place.counted]
