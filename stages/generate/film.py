"""From a motion to a video: drawn, or filmed by a pose-to-video back-end, checked before it costs anything."""

import contextlib
import shlex
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

from pipeline.backends.job import Job
from pipeline.backends.preview import write_preview
from pipeline.backends.run import backend, check, drive, plan
from pipeline.backends.settings import BackendSettings
from pipeline.base.units import FPS
from pipeline.media.skeleton_film import drawn_size, write_skeletons
from pipeline.model.generation.inputs import BadInput, Person, Voice
from pipeline.model.generation.outputs import PersonMotion
from pipeline.skeleton.align import align_if_off, compare
from pipeline.skeleton.layout import visible
from pipeline.tables import people

ALIGNMENT = ".alignment.png"  # the suffix of the preview


def ready(asked: BackendSettings, person: Person, *, dry_run: bool = False) -> None:
    """Whether the back-end can be asked at all, before anything is generated for it; a dry run needs no checkout.

    Raises:
        BadInput: only a skeleton is known of the person. BackendError: options do not fit, or something is missing.
    """
    if asked.backend == "skeleton":
        return  # it is drawn in the picture's size, at 25 a second
    backend(asked.backend).check(asked.options())
    if person.picture is None:
        raise BadInput(
            f"--backend {asked.backend} films a person, and of {person.name} only a skeleton is known: "
            "give a picture with --image, or a clip with --reference-clip"
        )
    if not dry_run:
        check(asked.backend, asked.options())


def brought_onto(moved: PersonMotion, person: Person, say: Callable[[str], None]) -> PersonMotion:
    """A motion that does not lie on the person of the picture, brought there by one size and one shift, which is said."""
    motion, reference = visible(moved.keypoints, moved.scores), visible(person.keypoints, person.scores)
    alignment, fitted = align_if_off(motion, reference)
    if fitted is None:
        return moved
    x, y = fitted.shift
    say(f"{'; '.join(alignment.warnings)}: mended, {fitted.scale:.2f} x and {x:+.0f}, {y:+.0f} px")
    return PersonMotion.transferred(fitted.apply(moved.keypoints).astype(np.float32), moved.scores, moved.into)


def film(
    asked: BackendSettings,
    out: Path,
    moved: PersonMotion,
    person: Person,
    voice: Voice,
    say: Callable[[str], None],
    *,
    run: Path,
    dry_run: bool = False,
) -> list[Path]:
    """Write the video, and for a back-end a preview of how the motion lies on the person; returns their paths.

    With `dry_run` inputs and preview are written, and the command is said. Of the folder of its inputs a note is left in `run`.
    """
    if asked.backend == "skeleton":
        if not dry_run:
            drawn = drawn_size(person.size)
            if max(drawn) < max(person.size):
                say(
                    f"{person.name} has {person.size[0]} x {person.size[1]} px: drawn at {drawn[0]} x {drawn[1]}; "
                    "the .npz stays in its pixels"
                )
            write_skeletons(out, [(moved.keypoints, moved.scores)], voice.wave, person.size)
        return [] if dry_run else [out]
    assert person.picture is not None, "`ready` was asked"
    options = asked.options()
    job = Job(moved.keypoints, moved.scores, person.picture(), person.keypoints, person.scores, voice.wave)
    alignment = compare(visible(job.keypoints, job.scores), visible(job.reference, job.reference_scores))
    for warning in alignment.warnings:
        say(f"{person.name}: {warning}")
    preview = out.with_suffix(ALIGNMENT)
    write_preview(preview, job, backend(asked.backend).view(job, options), alignment, asked.backend)
    say(f"how the motion lies on the person: {preview}")
    work = _new_folder(out.with_name(f"{out.stem}-{asked.backend}"))
    people.note(run, work, [people.video_of(clip) for clip in (person.clip, voice.clip)])
    if dry_run:
        made = plan(asked.backend, job, options, work)
        say(f"inputs: {work}")
        say(f"to be run in {made.folder}:")
        say(shlex.join(made.command))
        return []
    say(f"{asked.backend} films {len(moved.keypoints) / FPS:.1f} s; what it says: {work / 'log.txt'}")
    drive(asked.backend, job, options, out, work)
    return [preview, out]


def _new_folder(path: Path) -> Path:
    """This path as a new folder, or with a number after it: another process that writes the same video has one of its own."""
    for number in count(1):
        folder = path.with_name(f"{path.name}-{number}") if number > 1 else path
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("numbers do not end")
