"""The kinds of input, and the one that a setting names. A new kind is a class in a file of its own, and a name here."""

from pipeline.engine.stage import Reads
from pipeline.sources.local.several import each
from pipeline.sources.web.lists import InputError
from stages.crawl.inputs.base import Input
from stages.crawl.inputs.folder import Folder
from stages.crawl.inputs.folders import Folders
from stages.crawl.inputs.links import Links
from stages.crawl.inputs.search import Search
from stages.crawl.inputs.theatre import Theatre

INPUTS: tuple[type[Input], ...] = (Search, Theatre, Folder, Folders, Links)  # the first that matches
DESCRIPTION = ", ".join(kind.description for kind in (Folder, Folders, Links, Search)) + f", or {Theatre.description}"
READS: tuple[Reads, ...] = tuple(dict.fromkeys(reads for kind in INPUTS for reads in kind.reads))


def input_of(text: str) -> Input:
    """The input that `crawl.input` names. Raises InputError where it names none."""
    for kind in INPUTS:
        if kind.matches(text):
            return kind(text)
    if not text:
        raise InputError("crawl.input is not set: a folder of videos, a list of links, or `theatre`")
    if len(several := each(text)) > 1:
        wrong = ", ".join(line for line in several if not Folder.matches(line))
        raise InputError(f"crawl.input: of several inputs each is a folder of videos, or a video; not so: {wrong}")
    raise InputError(f"crawl.input: no file or folder {text}")
