"""Importing poses: planted archives with known truth, hostile ones, and what becomes of a clip whose poses do not fit."""

import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.base.errors import StageError
from pipeline.base.reasons import Reason, Reject
from pipeline.engine.runner import Options, run_stage
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from stages.import_poses import ImportPoses
from stages.import_poses.agreement import chosen, distance
from stages.import_poses.archive import identity
from stages.import_poses.arrays import BadArray, read_poses
from stages.import_poses.comparer import Comparer, here, nearest
from stages.import_poses.index import canonical, key_of_member, safe
from stages.import_poses.worker import PoseImporter
from tests.pipeline.skeleton.people import person
from tests.stages import fake_run
from tests.stages.planted_poses import BOX, NAME, RELEASED_NAME, npy, npz, released, split, truth, write_zip
from tests.stages.stage_assets import FILES, AssetModels, asset

FRAMES = 30
VIDEO = "yt:YqnhRPq2Hq0"
CLIP = {
    "clip_id": f"{VIDEO}/8798+30",
    "video_id": VIDEO,
    "first_frame": 8798,
    "frames": FRAMES,
    "start_seconds": 351.92,
    "end_seconds": 353.12,
    "manifest_name": NAME,
    "manifest_crop_box": list(map(float, BOX)),
}


def unit(*, size: tuple[int, int] = (1280, 720), **more: Any) -> Unit:
    clip = {**CLIP, **more}
    video = {"video_id": VIDEO, "path": "none.mp4", "width": size[0], "height": size[1]}
    return Unit(clip["clip_id"], {"clips": [clip], "videos": [video]})


def read(archive: Path, one: Unit | None = None, **settings: Any) -> list[dict[str, Any]]:
    stage = ImportPoses(archive=archive, **settings)
    with stage.driver(Context(Path())) as given:
        worker = stage.worker(Context(Path(), given=given))
        return list(worker.process(one or unit()))


def poses(frames: int = FRAMES, *people: np.ndarray) -> np.ndarray:
    return np.stack(people or (released(*truth(frames)),), 1).astype(np.float32)


def keypoints(row: dict[str, Any]) -> np.ndarray:
    return row["keypoints"].reshape(len(row["keypoints"]), 133, 2)


@pytest.mark.parametrize("name", [NAME, RELEASED_NAME, f"pose/{NAME}", f"a/b/{RELEASED_NAME}.mp4", f"{NAME}/pose"])
@pytest.mark.parametrize("own", [NAME, RELEASED_NAME])
def test_a_member_is_found_by_either_form_of_the_name(tmp_path: Path, name: str, own: str) -> None:
    archive = write_zip(tmp_path / "poses.zip", {f"{name}.npy": npy(poses()), "other.npy": npy(poses(3))})
    [row] = read(archive, unit(manifest_name=own))
    np.testing.assert_allclose(keypoints(row), truth()[0], atol=0.01)
    assert (row["person_id"], row["frames"], row["frames_seen"]) == (f"{CLIP['clip_id']}#0", FRAMES, FRAMES)
    assert (row["smoothed"], row["pose_space"], row["frame_offset"]) == (True, "crop_signed, neck_first", 0)
    assert (row["width"], row["height"]) == (1280, 720)
    assert np.isnan(row["face_sharpness"]).all() and len(row["face_sharpness"]) == FRAMES
    pack_rows(KINDS["persons"], row["clip_id"], [row])


@pytest.mark.parametrize(
    "data", [npy(poses()), npz(poses=poses()), npz(arr_0=poses(), fps=np.array(25.0)), npy(poses()[:, 0])]
)
def test_forms_of_arrays(tmp_path: Path, data: bytes) -> None:
    [row] = read(write_zip(tmp_path / "p.zip", {f"{NAME}.npz": data}, zipfile.ZIP_STORED))
    np.testing.assert_allclose(keypoints(row), truth()[0], atol=0.01)


def test_several_persons_are_ranked_by_first_frame_and_x(tmp_path: Path) -> None:
    points, scores = truth()
    late, right, left = (released(points + np.array([dx, 0.0]), scores) for dx in (-60, 40, -40))
    late[:5] = 0
    nobody = np.zeros_like(late)
    rows = read(write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses(0, late, right, nobody, left))}))
    assert [row["person_id"] for row in rows] == [f"{CLIP['clip_id']}#{n}" for n in range(3)]
    for row, dx in zip(rows, (-40, 40, -60), strict=True):
        np.testing.assert_allclose(keypoints(row)[5:], (points + np.array([dx, 0.0]))[5:], atol=0.01)
    assert rows[2]["frames_seen"] == FRAMES - 5 and np.isnan(rows[2]["boxes"][:5]).all()


def test_nobody_in_the_poses_is_no_person(tmp_path: Path) -> None:
    with pytest.raises(Reject) as refused:
        read(write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(np.zeros((FRAMES, 1, 134, 3), np.float32))}))
    assert refused.value.reason is Reason.BAD_POSES and "confidence" in refused.value.detail


@pytest.mark.parametrize(("frames", "offset"), [(29, 0), (31, 0)])
def test_one_frame_more_or_less_is_accepted_and_its_offset_kept(tmp_path: Path, frames: int, offset: int) -> None:
    archive = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses(frames))})
    [row] = read(archive)
    assert row["frame_offset"] == offset and row["frames"] == len(row["keypoints"]) == len(row["scores"]) == FRAMES
    assert row["frames_seen"] == min(frames, FRAMES)
    [row] = read(archive, unit(start_seconds=351.932 if frames == 29 else 351.906, end_seconds=353.12))
    assert row["frame_offset"] == (1 if frames == 29 else -1)
    shift = row["frame_offset"]
    both = keypoints(row)[max(0, shift) : 29], truth(frames)[0][max(0, -shift) : 29 - shift]
    np.testing.assert_allclose(both[0][: len(both[1])], both[1][: len(both[0])], atol=0.01)


@pytest.mark.parametrize("frames", [28, 32])
def test_two_frames_more_or_less_are_another_clip(tmp_path: Path, frames: int) -> None:
    with pytest.raises(Reject, match=f"poses of {frames} frames for a clip of 30"):
        read(write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses(frames))}))


def test_a_clip_cut_at_the_end_of_its_video_keeps_the_beginning_of_its_poses(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses())})
    [row] = read(archive, unit(frames=28))
    np.testing.assert_allclose(keypoints(row), truth()[0][:28], atol=0.01)


def test_missing_members_and_names_say_so(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {"somebody_else.npy": npy(poses())})
    with pytest.raises(Reject, match=f"no member named {RELEASED_NAME}") as refused:
        read(archive)
    assert refused.value.reason is Reason.BAD_POSES
    with pytest.raises(Reject, match="no name in the manifest"):
        read(archive, unit(manifest_name=None))
    with pytest.raises(Reject, match="no crop box"):
        read(write_zip(tmp_path / "q.zip", {f"{NAME}.npy": npy(poses())}), unit(manifest_crop_box=None))


@pytest.mark.parametrize("suffixes", [["aa", "ab", "ac", "ad"], ["00", "01", "02", "03"], ["1", "2", "3", "4"]])
def test_parts_are_read_as_one_file(tmp_path: Path, suffixes: list[str]) -> None:
    whole = write_zip(
        tmp_path / "CSG-405-pose.zip", {f"{n}.npy": os.urandom(999) for n in range(40)} | {f"{NAME}.npy": npy(poses())}
    )
    size = whole.stat().st_size
    parts = split(whole, -(-size // 4), suffixes)
    assert len(parts) == 4
    for archive in (parts[0], whole, tmp_path):
        [row] = read(archive)
        np.testing.assert_allclose(keypoints(row), truth()[0], atol=0.01)
    assert identity(parts[0]) == identity(whole)


def test_many_more_than_ten_parts_stay_in_order(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses())}, zipfile.ZIP_STORED)
    parts = split(whole, -(-whole.stat().st_size // 12), [str(number) for number in range(12)])
    [row] = read(parts[0])
    assert len(parts) == 12
    np.testing.assert_allclose(keypoints(row), truth()[0], atol=0.01)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses())})
    parts = split(whole, -(-whole.stat().st_size // 4), ["aa", "ab", "ac", "ad"])
    last = parts[3].read_bytes()
    parts[3].unlink()
    with pytest.raises(StageError, match=r"no whole ZIP archive.*last part"):
        read(parts[0])
    parts[3].write_bytes(last)
    parts[2].unlink()
    with pytest.raises(StageError, match=r"missing between p.zip.partab and p.zip.partad"):
        read(parts[0])
    parts[0].unlink()
    with pytest.raises(StageError, match="no such archive"):
        read(parts[0])
    with pytest.raises(StageError, match="not the first part"):
        read(parts[1])


def test_a_truncated_archive_stops_the_stage_with_advice(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses())})
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(StageError, match=r"no whole ZIP archive.*is the download whole"):
        read(archive)
    with pytest.raises(StageError, match="no such archive"):
        read(tmp_path / "none.zip")
    with pytest.raises(StageError, match="--poses"), ImportPoses().driver(Context(tmp_path)):
        pass
    with pytest.raises(StageError, match="holds no poses"):
        read(write_zip(tmp_path / "q.zip", {"readme.txt": b"hello"}))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(StageError, match="holds no poses"):
        read(tmp_path / "nothing")


def patched(path: Path, offset_in_entry: int, value: bytes, *, local: int | None = None) -> Path:
    """Change bytes of the first entry of a ZIP file's directory, and of its local header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + offset_in_entry
    data[at : at + len(value)] = value
    if local is not None:
        data[local : local + len(value)] = value
    path.write_bytes(bytes(data))
    return path


def bad_members() -> Iterator[tuple[str, str, Any]]:
    good = npy(poses())

    def plain(path: Path, name: str = f"{NAME}.npy", data: bytes = good, **info: Any) -> Path:
        member = zipfile.ZipInfo(name)
        for key, value in {"compress_type": zipfile.ZIP_DEFLATED, **info}.items():
            setattr(member, key, value)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, data)
        return path

    yield "slip", "leads out", lambda p: plain(p, f"../../{NAME}.npy")
    yield "absolute", "leads out", lambda p: plain(p, f"/etc/{NAME}.npy")
    yield "windows", "leads out", lambda p: plain(p, f"C:\\{NAME}.npy")
    yield "link", "is a link", lambda p: plain(p, data=b"/etc/passwd", external_attr=0o120777 << 16)
    yield "encrypted", "encrypted", lambda p: patched(plain(p), 8, struct.pack("<H", 1))
    yield "method", "other than deflate", lambda p: plain(p, compress_type=zipfile.ZIP_LZMA)
    yield "bomb", "must be a bomb", lambda p: plain(p, data=bytes(20 << 20))
    yield (
        "large",
        "larger than the limit",
        lambda p: plain(p, data=os.urandom(34 << 20), compress_type=zipfile.ZIP_STORED),
    )
    yield "lies about its size", "unpacks to more than", lambda p: patched(plain(p), 24, struct.pack("<L", 1000))
    yield (
        "damaged",
        "damaged|invalid|incomplete",
        lambda p: patched(plain(p, compress_type=zipfile.ZIP_STORED), 16, b"abcd"),
    )
    yield "pickled objects", "pickled objects", lambda p: plain(p, data=npy(np.array([{}], object), pickled=True))
    yield "pickle", "pickle, which is never read", lambda p: plain(p, f"{NAME}.pkl", pickle.dumps(poses()))
    yield "renamed pickle", "pickle, which is never read", lambda p: plain(p, data=pickle.dumps(poses()))
    yield "huge header", "announces .* bytes and", lambda p: plain(p, data=_header((30, 60, 134, 3)) + b"0" * 100)
    yield "header of terabytes", "limit", lambda p: plain(p, data=_header((10**9, 60, 134, 3)))
    yield (
        "broken header",
        "header cannot be read",
        lambda p: plain(p, data=_header((30, 1, 134, 3)).replace(b"}", b" ")),
    )
    yield "crowd", "900 persons", lambda p: plain(p, data=_header((30, 900, 134, 3)))
    yield "text", "neither .npy nor .npz", lambda p: plain(p, data=b"<html>")
    yield "whole numbers", "not floats", lambda p: plain(p, data=npy(np.zeros((30, 1, 134, 3), np.int32)))
    yield "two arrays", "2 of its arrays", lambda p: plain(p, data=npz(a=poses(), b=poses()))
    yield "another shape", "its shape is", lambda p: plain(p, data=npy(np.zeros((30, 1, 18, 3), np.float32)))


def _header(shape: tuple[int, ...]) -> bytes:
    text = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("what", "words", "make"), list(bad_members()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_hostile_members_are_refused_and_the_others_read(tmp_path: Path, what: str, words: str, make: Any) -> None:
    archive = make(tmp_path / "p.zip")
    with pytest.raises(Reject, match=words) as refused:
        read(archive, max_member_megabytes=32)
    assert refused.value.reason is Reason.BAD_POSES
    assert not (tmp_path.parent / f"{NAME}.npy").exists()
    other = NAME.replace("Yqn", "zzz")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(f"{other}.npy", npy(poses()))
    [row] = read(archive, unit(manifest_name=other), max_member_megabytes=32)
    np.testing.assert_allclose(keypoints(row), truth()[0], atol=0.01)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_two_members_have_are_refused(tmp_path: Path) -> None:
    for second in (f"{NAME}.npy", f"{RELEASED_NAME}.npy", f"elsewhere/{NAME}.npz"):
        path = tmp_path / "p.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{NAME}.npy", npy(poses()))
            archive.writestr(second, npy(poses()))
        with pytest.raises(Reject, match="two members have its name"):
            read(path)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses()), "second.npy": npy(poses())})
    data = bytearray(archive.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<L", 40)  # its header lies within the first one's bytes
    archive.write_bytes(bytes(data))
    with pytest.raises(Reject, match="another member's too"):
        read(archive)


def test_a_member_that_begins_before_its_archive_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses()), "second.npy": npy(poses())})
    data = bytearray(archive.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<L", data, end + 16)[0]
    data[end + 16 : end + 20] = struct.pack("<L", start + 1000)  # all offsets are read as 1000 less
    archive.write_bytes(bytes(data))
    with pytest.raises(Reject, match="another member's too"):
        read(archive)


def test_an_archive_that_unpacks_to_too_much_is_refused_whole(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {f"{n}.npy": bytes(1 << 20) for n in range(3)})
    with pytest.raises(StageError, match="would unpack to"):
        read(archive, max_archive_gigabytes=2 / 1024)


def test_a_folder_of_extracted_files(tmp_path: Path) -> None:
    inside = tmp_path / "poses" / "a"
    inside.mkdir(parents=True)
    (inside / f"{RELEASED_NAME}.npy").write_bytes(npy(poses()))
    [row] = read(tmp_path / "poses")
    np.testing.assert_allclose(keypoints(row), truth()[0], atol=0.01)
    before = identity(tmp_path / "poses")
    (tmp_path / "secret.npy").write_bytes(npy(poses()))
    (inside / f"{RELEASED_NAME}.npy").unlink()
    (inside / f"{RELEASED_NAME}.npy").symlink_to(tmp_path / "secret.npy")
    (inside / "out").symlink_to(tmp_path)
    assert identity(tmp_path / "poses") != before
    with pytest.raises(Reject, match="it is a link"):
        read(tmp_path / "poses")


def test_fingerprint_follows_the_archive_not_its_place(tmp_path: Path) -> None:
    one = write_zip(tmp_path / "one.zip", {f"{NAME}.npy": npy(poses())})
    (tmp_path / "moved").mkdir()
    store = Store(tmp_path)
    first = ImportPoses(archive=one).depends(store)
    moved = one.rename(tmp_path / "moved" / "two.zip")
    assert ImportPoses(archive=moved).depends(store) == first != ImportPoses(archive=one).depends(store)
    write_zip(moved, {f"{NAME}.npy": npy(poses() * np.float32(0.99))})
    assert ImportPoses(archive=moved).depends(store) != first
    assert ImportPoses(archive=moved).result_settings() == ImportPoses().result_settings()


@pytest.mark.parametrize("name", ["../b.npy", "a/../../b", "/b", "a\\b", "D:/x", "", "a\nb"])
def test_names_that_lead_out_of_the_archive(name: str) -> None:
    assert not safe(name)


def test_keys() -> None:
    assert safe(f"a/{NAME}.npy") and safe("-_x:y.npy")
    assert canonical(f"{NAME}.npy") == canonical(f"{RELEASED_NAME}.mp4.npz") == canonical(NAME) == RELEASED_NAME
    assert canonical("-_aaaaaaaaa_0_00:00:01.000_00:00:09.500") == "-_aaaaaaaaa_0_00_00_01_000_00_00_09_500"
    assert canonical(f"{NAME}_pose.npy") == RELEASED_NAME
    assert key_of_member(f"{RELEASED_NAME}/poses.npy") == RELEASED_NAME
    assert key_of_member("odd/name.npy") == "name"


def test_arrays_are_read_in_either_memory_order_and_precision() -> None:
    array = np.random.default_rng(0).normal(size=(4, 2, 134, 3))
    for dtype in ("<f2", "<f4", "<f8", ">f4"):
        for order in ("C", "F"):
            stored = np.asarray(array, dtype=dtype, order=order)  # type: ignore[call-overload]
            np.testing.assert_array_equal(read_poses(npy(stored), 1 << 20), stored)
    with pytest.raises(BadArray, match="limit 100"):
        read_poses(npy(array), 100)


def test_distance_is_in_shoulder_widths_over_points_scored_in_both() -> None:
    points, scores = person(5, width=100.0)
    other, less = points + np.array([3.0, 4.0]), scores.copy()
    less[:, 20:] = 0.1
    other[:, 20:] += 1000
    other[2] = np.nan
    assert distance(points, scores, other, less) == pytest.approx(0.05)
    assert distance(points, scores, other, less * 0) is None


class FakeNets:
    """Stands in for our own nets."""

    def __init__(self, *people: tuple[np.ndarray, np.ndarray]) -> None:
        self.people = people
        self.looked: list[tuple[str, int, int]] = []

    def look(self, path: str, first_frame: int, frames: int) -> list[Any]:
        self.looked.append((path, first_frame, frames))
        return [SimpleNamespace(keypoints=k, scores=s) for k, s in self.people]


def test_agreement_with_our_own_annotation(tmp_path: Path) -> None:
    points, scores = truth()
    width = np.nanmedian(np.linalg.norm(points[:, 5] - points[:, 6], axis=-1))
    nets = FakeNets((points + 900, scores), (points[:-1] + np.array([0.1 * width, 0]), scores[:-1]))
    stage = ImportPoses(archive=write_zip(tmp_path / "p.zip", {f"{NAME}.npy": npy(poses())}), compare_share=1.0)
    with stage.driver(Context(tmp_path)) as given:
        worker = stage.worker(Context(tmp_path, given=given, models=SimpleNamespace(find=lambda name: None)))  # type: ignore[arg-type]
        assert isinstance(worker, PoseImporter)
        assert worker._comparer is None  # no net is here: nothing is compared, and nothing fetched
        worker._comparer = nets  # type: ignore[assignment]
        [row] = worker.process(unit())
    assert row["agreement"] == pytest.approx(0.1, abs=0.01)
    assert nets.looked == [("none.mp4", 8798, FRAMES)]


def test_our_own_nets_look_at_the_clip() -> None:
    class Models(AssetModels):
        def find(self, name: str) -> Path | None:
            return asset(f"models/{FILES[name]}") if name in FILES else None

    asset("models/lite133.onnx")
    context = Context(Path("/"), threads=2, models=Models())  # type: ignore[arg-type]
    assert here(context, ("yolox_l", "yolox_nano")) == ("yolox_nano",)
    nets = Comparer(context, ("yolox_l", "yolox_nano"), ("dwpose_l", "lite133"))
    [speaker] = nets.look(str(asset("clips/csgpage_demo1.mp4")), 0, 12)
    assert nearest(speaker.keypoints, speaker.scores, [speaker]) == 0
    assert nearest(speaker.keypoints[:9] + 3, speaker.scores[:9], [speaker]) == pytest.approx(0.02, abs=0.015)
    assert nearest(speaker.keypoints, speaker.scores, []) is None


def test_a_run_with_workers(tmp_path: Path) -> None:
    """The driver indexes once, workers share it, and what does not fit is a result with its reason."""
    store = Store(tmp_path)
    names = [NAME.replace("Yqn", f"{number:03d}") for number in range(4)]
    with fake_run.together(store):
        fake_run.add_video(store, 1)
        for number, name in enumerate(names):
            own = {"clip_id": fake_run.clip_id(1, 50 * number, FRAMES), "video_id": fake_run.video_id(1)}
            times = {"first_frame": 50 * number, "start_seconds": 2.0 * number, "end_seconds": 2.0 * number + 1.2}
            fake_run.add(store, "clips", [{**CLIP, **own, **times, "manifest_name": name}])
    members = {f"{name}.npy": npy(poses(FRAMES - number)) for number, name in enumerate(names[:3])}
    stage = ImportPoses(archive=write_zip(tmp_path / "p.zip", members), compare_share=1.0, detector=("none",))
    done = run_stage(stage, tmp_path, FewModels(), Options(workers=2, threads=2))  # type: ignore[arg-type]
    assert done.counts == {"ok": 2, "rejected": 2}
    rows = Store(tmp_path).read("persons").to_pylist()
    assert [row["frames_seen"] for row in rows] == [FRAMES, FRAMES - 1]
    told = {
        o["unit"]: (o["reason"], o["detail"]) for o in Store(tmp_path).outcomes("persons").to_pylist() if o["reason"]
    }
    assert sorted(reason for reason, _ in told.values()) == ["bad_poses", "bad_poses"]
    assert "no member named" in told[fake_run.clip_id(1, 150, FRAMES)][1]
    assert "28 frames for a clip of 30" in told[fake_run.clip_id(1, 100, FRAMES)][1]
    assert (tmp_path / "poses" / "agreement.json").is_file()
    again = run_stage(stage, tmp_path, FewModels(), Options(workers=2, threads=2))  # type: ignore[arg-type]
    assert again.pending == 0


class FewModels:
    """A registry of a machine without nets."""

    def find(self, name: str) -> None:
        return None


def test_the_share_compared_is_by_hash() -> None:
    clips = [f"{VIDEO}/{n}+100" for n in range(2000)]
    taken = {clip for clip in clips if chosen(clip, 0.1)}
    assert 150 < len(taken) < 250 and taken < {clip for clip in clips if chosen(clip, 0.2)}
    assert not any(chosen(clip, 0.0) for clip in clips) and all(chosen(clip, 1.0) for clip in clips)


def test_the_report_of_a_run(tmp_path: Path) -> None:
    import csv
    import json

    store = Store(tmp_path)
    fake_run.add_video(store, 1)
    fake_run.add_clip(store, 1)
    for number, agreement in enumerate((0.02, 0.04, 0.5, None)):
        row = {**fake_run.ids(1, person=number), "agreement": agreement, "pose_space": "crop_signed, neck_first"}
        fake_run.add(store, "persons", [{**row, "frame_offset": number % 2, "smoothed": True}])
    ImportPoses(compare_share=0.5).finish(Context(tmp_path), Store(tmp_path))
    report = json.loads((tmp_path / "poses" / "agreement.json").read_text())
    assert (report["speakers"], report["compared"], report["compare_share"]) == (4, 3, 0.5)
    assert report["percentiles_shoulder_widths"]["50"] == 0.04 and report["far_share"] == pytest.approx(1 / 3)
    assert report["spaces"] == {"crop_signed, neck_first": 4} and report["frame_offsets"] == {"0": 2, "1": 2}
    with (tmp_path / "poses" / "agreement.csv").open() as file:
        assert [float(row["agreement"]) for row in csv.DictReader(file)] == [0.02, 0.04, 0.5]
