"""A back-end's process that is kept: weights are opened once, films are as from processes of their own, failures stay apart."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Filmed, Job, Options
from pipeline.backends.kept import Kept
from pipeline.backends.run import backend, drive
from tests.pipeline.backends.fakes import checkout, gone, job, plant

CUT = ["stableanimator", "echomimicv2", "echomimicv2-acc", "mimicmotion"]


@pytest.fixture
def kept() -> Iterator[Kept]:
    process = Kept()
    yield process
    process.close()


class Films:
    """Films of one stand-in, one after the other."""

    def __init__(self, tmp_path: Path, name: str, kept: Kept | None) -> None:
        self.tmp_path, self.name, self.kept = tmp_path, name, kept
        self.options = checkout(tmp_path / "checkout", name)
        self.place = tmp_path / "checkout"
        self.count = 0

    def film(self, work: Job | None = None, **changed: object) -> Filmed:
        work = work or job(20)
        self.count += 1
        options: Options = replace(self.options, **changed)  # type: ignore[arg-type]
        plant(options, backend(self.name).view(work, options))
        out = self.tmp_path / f"{self.count}.mp4"
        return drive(self.name, work, options, out, self.tmp_path / f"work-{self.count}", self.kept)

    def fails(self, behaviour: str, **changed: object) -> BackendError:
        (self.place / "behaviour").write_text(behaviour)
        with pytest.raises(BackendError) as caught:
            self.film(**changed)
        (self.place / "behaviour").write_text("film")
        return caught.value

    def log(self) -> str:
        return (self.tmp_path / f"work-{self.count}" / "log.txt").read_text()

    @property
    def opened(self) -> list[int]:
        """The processes that opened the weights."""
        return [int(line.split()[0]) for line in (self.place / "opened").read_text().splitlines()]


@pytest.mark.parametrize("name", CUT)
def test_weights_are_opened_once_and_films_are_those_of_processes_of_their_own(
    tmp_path: Path, name: str, kept: Kept
) -> None:
    if name == "mimicmotion":
        pytest.importorskip("torch")
    together, alone = tmp_path / "together", tmp_path / "alone"
    together.mkdir()
    alone.mkdir()
    jobs = [job(75), job(30)]
    films = Films(together, name, kept)
    made = [films.film(one) for one in jobs]
    assert len(films.opened) == 1 == kept.opened
    each = Films(alone, name, None)
    assert [one.path.read_bytes() for one in made] == [each.film(one).path.read_bytes() for one in jobs]
    assert len(each.opened) == 2
    for number in (1, 2):
        logs = [(folder / f"work-{number}" / "log.txt").read_text() for folder in (together, alone)]
        assert logs[0] == logs[1] and "loading film" in logs[0], (
            "each clip has its own words, and the same random numbers"
        )


@pytest.mark.parametrize(
    ("behaviour", "trouble", "stays"),
    [
        ("crash", Trouble.CRASH, True),
        ("package", Trouble.NO_PACKAGE, True),
        ("nothing", Trouble.NOTHING_WRITTEN, True),
        ("memory", Trouble.OUT_OF_MEMORY, False),
        ("killed", Trouble.OUT_OF_MEMORY, False),
    ],
)
def test_a_clip_that_fails_is_told_and_the_next_one_is_filmed(
    tmp_path: Path, kept: Kept, behaviour: str, trouble: Trouble, stays: bool
) -> None:
    films = Films(tmp_path, "stableanimator", kept)
    films.film()
    error = films.fails(behaviour)
    assert error.trouble == trouble and not (tmp_path / "2.mp4").exists()
    assert behaviour in films.log(), "its own log says it"
    films.film()
    assert len(films.opened) == (1 if stays else 2), "what ran out of memory, or died, is not trusted again"


def test_a_hang_is_ended_with_all_that_it_started(tmp_path: Path, kept: Kept) -> None:
    films = Films(tmp_path, "stableanimator", kept)
    films.film()
    error = films.fails("hang", deadline_seconds=4.0)
    assert error.trouble == Trouble.HANG and "past its deadline of 4 s" in str(error)
    assert gone(films.opened[0]) and gone(int((films.place / "child").read_text()))
    films.film()
    assert len(films.opened) == 2


def test_weights_that_do_not_open_are_told_as_ever(tmp_path: Path, kept: Kept) -> None:
    films = Films(tmp_path, "echomimicv2", kept)
    (films.place / "opening").write_text("exit")
    with pytest.raises(BackendError) as caught:
        films.film()
    assert caught.value.trouble == Trouble.NO_WEIGHTS
    (films.place / "opening").write_text("0")
    films.film()
    assert len(films.opened) == 2


def test_another_gpu_is_another_process(tmp_path: Path, kept: Kept) -> None:
    films = Films(tmp_path, "stableanimator", kept)
    films.film(gpu="0")
    films.film(gpu="1")
    assert len(set(films.opened)) == 2 and gone(films.opened[0])
    assert [line.split()[1] for line in (films.place / "opened").read_text().splitlines()] == ["0", "1"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pipeline = opened()", "pipe = opened()", "it assigns no pipeline"),
        ('if __name__ == "__main__":', "if True:", "it has no __main__"),
        ("    generator = np", "    gen = np", "it assigns no generator before pipeline"),
        ("pipeline = opened()", "pipeline = = opened()", "is another version"),
    ],
)
def test_a_program_of_another_version_is_refused(tmp_path: Path, kept: Kept, old: str, new: str, said: str) -> None:
    films = Films(tmp_path, "stableanimator", kept)
    script = films.place / "inference_basic.py"
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new))
    with pytest.raises(BackendError, match=said) as caught:
        films.film()
    assert "--keep-open false" in str(caught.value) and not (films.place / "opened").exists()


def test_it_ends_when_nobody_holds_it(tmp_path: Path) -> None:
    films = Films(tmp_path, "stableanimator", Kept())
    films.film()
    films.kept = None
    assert gone(films.opened[0])


def test_the_skeleton_needs_no_process(tmp_path: Path, kept: Kept) -> None:
    drive("skeleton", job(5), Options(), tmp_path / "film.mp4", tmp_path / "work", kept)
    assert kept.opened == 0
