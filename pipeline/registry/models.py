"""The nets: where each comes from, what its bytes must hash to, and where it lies on this machine.

Search order: the folder given as MODELS (or `CSG405_MODELS`), the cache, a package that carries it, then a download.
A file without a known hash is refused until `csg405 models pin NAME` records the one that is there.
"""

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources, util
from pathlib import Path

import filelock
import platformdirs
from pydantic import Field

from pipeline.base import files, install
from pipeline.base.attributes import load_attribute
from pipeline.base.errors import UserError
from pipeline.base.file_hashes import FileHashes
from pipeline.base.progress import doing, size, tell
from pipeline.base.strict import Strict
from pipeline.registry import forms
from pipeline.registry.archives import BadModel, unpack


class MissingModel(UserError):
    """A net that a stage needs is not here and could not be fetched; the message says what to do, `remedy` in a command."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        return str(self.args[0])


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
    halver: str = Field(
        "",
        description="module:function(file, target, device) that writes the net in half precision where a trial on that device "
        "allows it, and returns the verdict; the module's VERSION is a part of fingerprints, and its runner(device) names what "
        "verdicts hold for",
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
        precision: what came of it where half precision was asked for, in words; "" where it was not.
        asked_half: whether half precision was asked for, whatever came of it.
    """

    name: str
    path: Path
    sha256: str
    entry: Entry
    original: Path | None = None
    unprepared: str = ""
    precision: str = ""
    asked_half: bool = False

    @property
    def identity(self) -> str:
        """What results depend on: the hash of the released file, by which recipe it is prepared, and by which it is to be halved.

        Machines may come to different verdicts over half precision, and one without a GPU to none: what was asked for counts.
        """
        recipes = [self.entry.preparer, self.entry.halver if self.asked_half else ""]
        return "+".join([self.sha256, *(forms.recipe(one) for one in recipes if one)])


class Registry:
    """Finds nets by name.

    Args:
        models: folder named by the user, or None to use `CSG405_MODELS`.
        cache: where downloads and pins live; the user's cache folder by default.
        download: whether a missing net may be fetched, or built.
        device: on which nets are to run, "cpu" or "cuda": half precision is tried there.
    """

    def __init__(
        self, models: Path | None = None, cache: Path | None = None, *, download: bool = True, device: str = "cpu"
    ) -> None:
        given = models or (Path(os.environ["CSG405_MODELS"]) if os.environ.get("CSG405_MODELS") else None)
        self.models = given.resolve() if given else None
        self.cache = cache or Path(os.environ.get("CSG405_CACHE") or platformdirs.user_cache_dir("csg405")) / "models"
        self.download, self.device = download, device
        self.entries = load_entries()
        self.wanted: dict[str, str] | None = None  # {name: sha256} of the only nets that will do, in a worker elsewhere
        self.failed_trials: dict[str, str] = {}  # {name: why}, of half precision: this command tries no more

    def here(self, nets: Mapping[str, str]) -> "Registry":
        """This registry on another machine, for a worker that must have the driver's nets, to the bit.

        The driver's folders count where they are there too; else this machine's own do.

        Args:
            nets: {name: sha256} of those that the driver has.
        """
        models = self.models if self.models and self.models.is_dir() else None
        cache = self.cache if not os.environ.get("CSG405_CACHE") and os.access(self.cache, os.W_OK) else None
        found = Registry(models, cache, download=self.download, device=self.device)
        found.wanted, found.failed_trials = dict(nets), dict(self.failed_trials)
        return found

    def resolve(self, names: Sequence[str], precision: str = "fp32") -> ModelFile:
        """The first of these nets that is on this machine, else the first that can be fetched.

        Args:
            names: of nets, best first.
            precision: "fp32"; or "fp16", which is a wish: of a net that a trial refuses there is the one in single precision.

        Raises `MissingModel` with what to do; `BadModel` when a file's hash is not the recorded one.
        """
        found = self._resolved(names)
        return self._halved(found) if precision == "fp16" else found

    def _resolved(self, names: Sequence[str]) -> ModelFile:
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
        return Registry(self.models, self.cache, download=False, device=self.device)

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
        form, unprepared = self._converted(entry, path, found), ""
        if entry.preparer:
            form, unprepared = forms.prepared(self.cache, entry.preparer, form, found, make=self.download)
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
            unpack(archive, entry.member, target)
        finally:
            archive.unlink(missing_ok=True)

    def _expected(self, name: str) -> str:
        return self.entry(name).sha256 or (self.wanted or {}).get(name, "") or self.pins().get(name, "")

    def _build(self, name: str, entry: Entry) -> Path:
        folder = self._built(entry)
        with doing(f"building {name}"):
            load_attribute(entry.builder)(folder)
        if not (folder / entry.file).is_file():
            raise MissingModel(f"{entry.builder} made no {entry.file} for {name}")
        return folder / entry.file

    def _built(self, entry: Entry) -> Path:
        """Where a net made by code lies: a folder named for the code, so that changed code makes it anew."""
        return self.cache / "built" / forms.code_of(entry.builder)

    def _converted(self, entry: Entry, path: Path, sha256: str) -> Path:
        """The ONNX form of a net that comes in another one: made once, anew when the code that makes it changes."""
        if not entry.converter:
            return path
        target = self.cache / "converted" / f"{forms.code_of(entry.converter)}-{sha256[:12]}" / f"{path.stem}.onnx"
        if not target.is_file() and self.download:  # a command that only looks needs the hash alone
            try:
                convert = load_attribute(entry.converter)
                files.make_folder(target.parent)
                lock = filelock.FileLock(target.parent / ".lock")
                with doing(f"turning {path.name} into ONNX"), lock, files.replacing(target) as temporary:
                    convert(path, temporary)
            except ImportError as error:
                raise MissingModel(
                    f"{entry.purpose}: {path.name} is turned into ONNX once, and that needs {error.name}: "
                    f"{install.pip(str(error.name))}, or name a folder with {target.name} in it"
                ) from error
        return target

    def _halved(self, net: ModelFile) -> ModelFile:
        """The net in half precision, made and tried once a device; or as it is, and why."""
        net = replace(net, asked_half=True)
        if not net.entry.halver:
            return replace(net, precision="single precision: the registry knows no half one of it")
        if net.name in self.failed_trials:
            return replace(net, precision=self.failed_trials[net.name])
        halver, source = net.entry.halver, self._sha256(net.path)
        found = forms.halved(self.cache, halver, net.path, source, self.device, make=self.download)
        if found.failed:
            self.failed_trials[net.name] = found.words
        if found.path is None:
            return replace(net, precision=found.words)
        return replace(net, path=found.path, original=net.original or net.path, precision=found.words)

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
