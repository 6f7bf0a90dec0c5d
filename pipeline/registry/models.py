"""The nets: where each comes from, what its bytes must hash to, and where it lies on this machine.

Search order: the folder given as MODELS (or `CSG405_MODELS`), the cache, a package that carries it, then a download.
A file without a known hash is refused until `csg405 models pin NAME` records the one that is there.
"""

import hashlib
import importlib
import json
import os
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import IO

import filelock
import platformdirs
from pydantic import Field

from pipeline.base import files, install
from pipeline.base.errors import UserError
from pipeline.base.file_hashes import FileHashes
from pipeline.base.progress import doing, size, tell
from pipeline.base.strict import Strict

LARGEST_MEMBER_BYTES = 4 << 30


class MissingModel(UserError):
    """A net that a stage needs is not here and could not be fetched; the message says what to do, `remedy` in a command."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        return str(self.args[0])


class BadModel(UserError):
    """A net's bytes are not those that were expected."""


class Entry(Strict):
    """One net of `manifests/models.toml`."""

    purpose: str
    file: str = Field(description="name of the file on disk")
    licence: str
    url: str = ""
    bytes: int | None = None
    sha256: str = ""
    member: str = Field("", description="file inside the archive that the URL gives; the hash is the member's")
    package: str = Field("", description="importable package that carries the file")
    package_file: str = Field("", description="where in that package")
    install: str = Field("", description="what pip has to install for the package")
    extra: str = Field("", description="extra of csg405 that brings the package")
    install_note: str = Field("", description="what there is to know about that")
    converter: str = Field(
        "", description="module:function(file, target) that turns the file, once its hash is right, into an ONNX file"
    )
    preparer: str = Field(
        "",
        description="module:function(file, target) that writes a faster form of the net's ONNX file, or returns why it does not; "
        "the module's VERSION is a part of fingerprints",
    )
    builder: str = Field("", description="module:function(folder) that writes the net's file into a folder by code")
    token: str = Field("", description="environment variable with the access token that the URL asks for")
    same_person: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="of identity nets: least mean likeness of one person's faces to their mean, cosine",
    )
    note: str = ""


@dataclass(frozen=True)
class ModelFile:
    """A net on disk whose hash was checked.

    Attributes:
        original: the file whose hash that is, where `path` is its ONNX form, or a faster one; else None.
        unprepared: why there is no faster form of it where there should be one; "" where there is, or needs to be, none.
    """

    name: str
    path: Path
    sha256: str
    entry: Entry
    original: Path | None = None
    unprepared: str = ""

    @property
    def identity(self) -> str:
        """What results depend on: the hash of the released file, and by which recipe it is prepared, if it is."""
        return self.sha256 + (f"+{_recipe(self.entry.preparer)}" if self.entry.preparer else "")


class Registry:
    """Finds nets by name.

    Args:
        models: folder named by the user, or None to use `CSG405_MODELS`.
        cache: where downloads and pins live; the user's cache folder by default.
        download: whether a missing net may be fetched, or built.
    """

    def __init__(self, models: Path | None = None, cache: Path | None = None, *, download: bool = True) -> None:
        given = models or (Path(os.environ["CSG405_MODELS"]) if os.environ.get("CSG405_MODELS") else None)
        self.models = given.resolve() if given else None
        self.cache = cache or Path(os.environ.get("CSG405_CACHE") or platformdirs.user_cache_dir("csg405")) / "models"
        self.download = download
        self.entries = load_entries()
        self.wanted: dict[str, str] | None = None  # {name: sha256} of the only nets that will do, in a worker elsewhere

    def here(self, nets: Mapping[str, str]) -> "Registry":
        """This registry on another machine, for a worker that must have the driver's nets, to the bit.

        The driver's folders count where they are there too; else this machine's own do.

        Args:
            nets: {name: sha256} of those that the driver has.
        """
        models = self.models if self.models and self.models.is_dir() else None
        cache = self.cache if not os.environ.get("CSG405_CACHE") and os.access(self.cache, os.W_OK) else None
        found = Registry(models, cache, download=self.download)
        found.wanted = dict(nets)
        return found

    def resolve(self, names: Sequence[str]) -> ModelFile:
        """The first of these nets that is on this machine, else the first that can be fetched.

        Raises `MissingModel` with what to do; `BadModel` when a file's hash is not the recorded one.
        """
        names = self._among_wanted(names)
        given = [(n, self.models / self.entry(n).file) for n in names if self.models]
        known = [*given, *((n, self.find(n)) for n in names)]
        for name, path in known:
            if path is not None and path.is_file():
                return self.checked(name, path)
        problems = []
        for name in names:
            entry = self.entry(name)
            if self.download and (entry.builder or entry.url):
                try:
                    return self.checked(name, self.fetch(name))
                except MissingModel as error:
                    problems.append(str(error))
        raise MissingModel("; ".join(problems) or self.advice(names), self.remedy(names))

    def optional(self, names: Sequence[str]) -> ModelFile | None:
        """As `resolve`, but None where there is none of these nets; what no hash is known of is neither used nor fetched."""
        if self.wanted is not None:
            there = [name for name in names if name in self.wanted]
            return self.resolve(there) if there else None
        for name in names:
            path = self.models / self.entry(name).file if self.models else None
            for known in (path, self.find(name)):
                if known is not None and known.is_file() and self._may_use(name):
                    return self.checked(name, known)
        fetched = [name for name in names if self._may_use(name)]
        try:
            return self.resolve(fetched) if fetched else None
        except MissingModel:
            return None

    def _among_wanted(self, names: Sequence[str]) -> Sequence[str]:
        """Of several nets that would do, the one that the driver has."""
        return [name for name in names if name in (self.wanted or ())] or names

    def _may_use(self, name: str) -> bool:
        return bool(self.entry(name).builder or self._expected(name))

    def looking(self) -> "Registry":
        """The same registry without leave to fetch or build, for commands that only look."""
        return Registry(self.models, self.cache, download=False)

    def entry(self, name: str) -> Entry:
        """The entry of this name; MissingModel when the registry has none."""
        if name not in self.entries:
            raise MissingModel(f"no net is called {name!r}; `csg405 models` lists them")
        return self.entries[name]

    def find(self, name: str) -> Path | None:
        """Where the net lies on this machine, or None. Nothing is downloaded or hashed."""
        entry = self.entry(name)
        home = self._built(entry) if entry.builder else self.cache
        for folder in (self.models, home):
            if folder and (folder / entry.file).is_file():
                return folder / entry.file
        spec = util.find_spec(entry.package) if entry.package else None
        for location in spec.submodule_search_locations or [] if spec else []:  # found, never imported
            if (path := Path(location) / entry.package_file).is_file():
                return path
        return None

    def checked(self, name: str, path: Path) -> ModelFile:
        """The net at this path, after its hash was compared with the recorded one."""
        entry = self.entry(name)
        found = self._sha256(path)
        if self.wanted and self.wanted.get(name, found) != found:
            raise BadModel(f"{path} is not the driver's {name}: sha256 {found} here, {self.wanted[name]} there")
        if entry.builder:
            return ModelFile(name, path, found, entry)
        expected = self._expected(name)
        if not expected:
            raise MissingModel(
                f"{path} is there, but no hash of {name} is recorded; if you trust the file: csg405 models pin {name}"
            )
        if found != expected:
            raise BadModel(
                f"{path} is not {name}: sha256 {found}, expected {expected}; delete it and run csg405 models fetch {name}"
            )
        form, unprepared = self._prepared(entry, self._converted(entry, path, found), found)
        return ModelFile(name, form, found, entry, None if form == path else path, unprepared)

    def advice(self, names: Sequence[str]) -> str:
        """One line: how to get one of these nets."""
        entry, remedy = self.entry(names[0]), self.remedy(names)
        what = f"{entry.purpose} ({names[0]})"
        if entry.package:
            return f"{what} is missing: {remedy}" + (f" ({entry.install_note})" if entry.install_note else "")
        if self._there_unpinned(names[0]):
            return f"{what} is there, but no hash is recorded: {remedy}"
        return f"{what} is missing: {remedy}, or put {entry.file} into a folder and name it with MODELS=..."

    def remedy(self, names: Sequence[str]) -> str:
        """The command that brings one of these nets."""
        entry = self.entry(names[0])
        if entry.package:
            return install.with_extra(entry.extra) if entry.extra else install.pip(entry.install)
        return f"csg405 models {'pin' if self._there_unpinned(names[0]) else 'fetch'} {names[0]}"

    def _there_unpinned(self, name: str) -> bool:
        return bool(self.find(name)) and not self._may_use(name)

    def fetch(self, name: str, report: "Callable[[int, int | None], None] | None" = None) -> Path:
        """Build or download a net into the cache and check it; `report(bytes so far, bytes in all)` is called now and then."""
        entry = self.entry(name)
        if entry.builder:
            return self._build(name, entry)
        if not entry.url:
            raise MissingModel(self.advice([name]))
        target = self.cache / entry.file
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.cache / f".{entry.file}.lock"):  # of two processes that want it, one downloads
                if not (target.is_file() and self._expected(name) in ("", self._sha256(target))):
                    self._download(name, entry, target, report)
        except OSError as error:
            gated = f"It is {entry.note}. " if entry.token else ""
            raise MissingModel(
                f"{name} could not be fetched from {entry.url}: {error}. {gated}{self.advice([name])}"
            ) from error
        return target

    def _download(
        self, name: str, entry: Entry, target: Path, report: "Callable[[int, int | None], None] | None"
    ) -> None:
        from pipeline.registry.download import download  # httpx: only when something is fetched

        def told(done: int, total: int | None) -> None:
            tell(f"fetching {name}, {size(done)}" + (f" of {size(total)}" if total else ""))

        headers = {"Authorization": f"Bearer {os.environ[entry.token]}"} if os.environ.get(entry.token) else {}
        archive = self.cache / f"{entry.file}.archive"
        with doing(f"fetching {name}"):
            if not entry.member:
                download(entry.url, target, entry.bytes, self._expected(name), headers, report or told)
                return
            download(entry.url, archive, headers=headers, report=report or told)
        try:
            _unpack(archive, entry.member, target)
        finally:
            archive.unlink(missing_ok=True)

    def _expected(self, name: str) -> str:
        return self.entry(name).sha256 or (self.wanted or {}).get(name, "") or self.pins().get(name, "")

    def _build(self, name: str, entry: Entry) -> Path:
        folder = self._built(entry)
        module, _, function = entry.builder.partition(":")
        with doing(f"building {name}"):
            getattr(importlib.import_module(module), function)(folder)
        if not (folder / entry.file).is_file():
            raise MissingModel(f"{entry.builder} made no {entry.file} for {name}")
        return folder / entry.file

    def _built(self, entry: Entry) -> Path:
        """Where a net made by code lies: a folder named for the code, so that changed code makes it anew."""
        return self.cache / "built" / _code_of(entry.builder.partition(":")[0])

    def _converted(self, entry: Entry, path: Path, sha256: str) -> Path:
        """The ONNX form of a net that comes in another one: made once, anew when the code that makes it changes."""
        if not entry.converter:
            return path
        module, _, function = entry.converter.partition(":")
        target = self.cache / "converted" / f"{_code_of(module)}-{sha256[:12]}" / f"{path.stem}.onnx"
        if not target.is_file() and self.download:  # a command that only looks needs the hash alone
            try:
                convert = getattr(importlib.import_module(module), function)
                lock = filelock.FileLock(_folder(target.parent) / ".lock")
                with doing(f"turning {path.name} into ONNX"), lock, files.replacing(target) as temporary:
                    convert(path, temporary)
            except ImportError as error:
                raise MissingModel(
                    f"{entry.purpose}: {path.name} is turned into ONNX once, and that needs {error.name}: "
                    f"{install.pip(str(error.name))}, or name a folder with {target.name} in it"
                ) from error
        return target

    def _prepared(self, entry: Entry, path: Path, sha256: str) -> tuple[Path, str]:
        """The faster form of a net, made once, anew when the code that makes it changes; or the net as it is, and why."""
        if not entry.preparer:
            return path, ""
        module, _, function = entry.preparer.partition(":")
        folder = self.cache / "prepared" / f"{_code_of(module)}-{sha256[:12]}"
        target, refused = folder / f"{path.stem}.onnx", folder / f"{path.stem}.txt"
        if self.download and not (
            target.is_file() or refused.is_file()
        ):  # a command that only looks needs the hash alone
            prepare = getattr(importlib.import_module(module), function)
            with doing(f"preparing {path.name}"), filelock.FileLock(_folder(folder) / ".lock"):
                if not (target.is_file() or refused.is_file()):  # of two processes that want it, one prepares
                    _prepare(prepare, path, target, refused)
        if target.is_file():
            return target, ""
        if refused.is_file():
            return path, f"{refused.read_text(encoding='utf-8')}; to try again, delete {refused}"
        return path, ""

    def pins(self) -> dict[str, str]:
        """Hashes that the user recorded: {name: sha256}."""
        try:
            return dict(json.loads((self.cache / "pins.json").read_text()))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError) as error:
            raise BadModel(f"{self.cache / 'pins.json'} is broken: {error}; mend or remove it") from error

    def pin(self, name: str) -> str:
        """Record the hash of the file that is there as the right one. Raises MissingModel when there is no file or it is pinned."""
        path = self.find(name)
        if path is None:
            raise MissingModel(self.advice([name]))
        if self.entry(name).sha256:
            raise MissingModel(f"{name} already has a hash in the registry: {self.entry(name).sha256}")
        digest = self._sha256(path)
        files.write_text(self.cache / "pins.json", json.dumps({**self.pins(), name: digest}, indent=1))
        return digest

    def _sha256(self, path: Path) -> str:
        return FileHashes(self.cache / "hashes.json").of(path)


def load_entries() -> dict[str, Entry]:
    """The registry that ships with the project."""
    text = resources.files("manifests").joinpath("models.toml").read_text(encoding="utf-8")
    return {name: Entry(**values) for name, values in tomllib.loads(text).items()}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _prepare(prepare: Callable[[Path, Path], str], path: Path, target: Path, refused: Path) -> None:
    """Write the faster form of a net, or why there is none."""
    made = target.with_name(f".{target.name}.made")
    try:
        if reason := prepare(path, made):
            files.write_text(refused, reason)
        else:
            files.sync(made)
            made.replace(target)
    finally:
        made.unlink(missing_ok=True)


def _recipe(preparer: str) -> str:
    """Name and version of a recipe: "pose.prepare:detector 1"."""
    module, _, function = preparer.partition(":")
    return f"{module.rpartition('.')[2]}:{function} {importlib.import_module(module).VERSION}"


def _code_of(module: str) -> str:
    """A hash over the source of a module, and of the others of its package where it is one."""
    spec, state = util.find_spec(module), hashlib.sha256()
    folders = [Path(location) for location in spec.submodule_search_locations or []] if spec else []
    sources = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    if not folders and spec and spec.origin:
        sources = [Path(spec.origin)]
    for path in sources:
        state.update(path.read_bytes())
    return state.hexdigest()[:12]


@contextmanager
def _opened(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """The member of this name, in whatever folder of a zip or tar archive it lies."""

    def chosen(names: Sequence[str]) -> str:
        for name in names:
            if name == member or name.endswith("/" + member):
                return name
        raise BadModel(f"{archive.name} holds no {member}")

    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tape:
            found = tape.extractfile(chosen([entry.name for entry in tape if entry.isfile()]))
            assert found is not None, "only plain files were looked at"
            yield found
    else:
        with zipfile.ZipFile(archive) as packed, packed.open(chosen(packed.namelist())) as source:
            yield source


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Copy one member of a zip or tar archive to the target; nothing else of the archive touches the disk."""
    try:
        with _opened(archive, member) as source, files.replacing(target) as temporary:
            left = LARGEST_MEMBER_BYTES  # counted, because what the archive says of itself need not be true
            with temporary.open("wb") as out:
                while block := source.read(1 << 20):
                    left -= len(block)
                    if left < 0:
                        raise BadModel(
                            f"{member} in {archive.name} unpacks to more than {LARGEST_MEMBER_BYTES:,} bytes"
                        )
                    out.write(block)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadModel(f"{archive.name} is no readable archive: {error}") from error
