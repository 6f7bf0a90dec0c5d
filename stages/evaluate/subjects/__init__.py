"""The clips of a test set as rows of `subjects`, whatever set they come from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.stage import Context, Resources, Stage, Work
from stages.evaluate.collection import Collection
from stages.evaluate.gpus import claim
from stages.evaluate.subjects.clips import clips_of_shards, drawn, hashes_of_shards
from stages.evaluate.subjects.settings import SubjectsSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Subjects(SubjectsSettings, Stage):
    """A row a clip of the test set.

    - `csg405`: the test split of a run's shards, their skeletons as stored;
    - `pats`, `ted`: the clips of a `Collection`; the largest person of each is annotated by the profile's nets, once. A clip
      without sound has that of the sound file of its name.
    """

    name: ClassVar[str] = "subjects"
    version: ClassVar[int] = 1
    writes: ClassVar[str] = "subjects"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True, run_files=True)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return () if self.protocol == "csg405" else (self.detector, self.pose)

    def sources(self, store: "Store | None" = None) -> list[str] | Mapping[str, str]:
        """The clips; those of a folder each with the state of its files."""
        if self.protocol == "csg405":
            return drawn(clips_of_shards(self), self.limit)
        collection = Collection(Path(self.source), self.protocol)
        return {name: collection.state(name) for name in drawn(collection.clips(), self.limit)}

    def depends(self, store: "Store") -> str:
        """The index of the shards, where the test set is theirs."""
        if self.protocol != "csg405":
            return ""
        return hashlib.sha256("".join(sorted(hashes_of_shards(self))).encode()).hexdigest()

    def worker(self, context: Context) -> Work:
        claim(self.gpus if self.protocol != "csg405" else (), context.run)
        return super().worker(context)
