"""Ids and links are what they claim to be, or they are refused."""

import pytest

from pipeline.base.reasons import Reason, Reject
from pipeline.media.guard import check_clip_id, check_person_id, check_url, disk_name, safe_video_id

GOOD_IDS = ["yt:dQw4w9WgXcQ", "yt:-_-_-_-_-_-", "yt:-----------", "file:0123456789abcdef"]
BAD_IDS = [
    "",
    "yt:short",
    "yt:dQw4w9WgXcQ ",
    "yt:dQw4w9WgXcQ\n",
    "dQw4w9WgXcQ",
    "file:0123456789ABCDEF",
    "file:012",
    "yt:../../../e",
    "yt:dQw4w9WgXc٣",
]


def refused(call: object, *arguments: object, **options: object) -> None:
    with pytest.raises(Reject) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    assert caught.value.reason is Reason.BAD_LINK


@pytest.mark.parametrize("text", GOOD_IDS)
def test_good_ids(text: str) -> None:
    assert safe_video_id(text) == text
    clip = check_clip_id(f"{text}/250+125")
    assert (clip.video_id, clip.first_frame, clip.frames) == (text, 250, 125)
    assert check_person_id(f"{text}/0+125#2").number == 2
    assert check_person_id(f"{text}/0+125#2").clip_id == f"{text}/0+125"


@pytest.mark.parametrize("text", BAD_IDS)
def test_bad_ids(text: str) -> None:
    refused(safe_video_id, text)
    refused(disk_name, text)
    refused(check_clip_id, f"{text}/0+5")
    refused(check_person_id, f"{text}/0+5#0")


@pytest.mark.parametrize(
    "tail", ["", "/", "/5", "/-1+5", "/5+0", "/05+5", "/5+5/", "/5+5 ", "/1e3+5", "/5+5\n", "/٣+5"]
)
def test_bad_clip_ids(tail: str) -> None:
    refused(check_clip_id, f"yt:dQw4w9WgXcQ{tail}")
    refused(check_person_id, f"yt:dQw4w9WgXcQ{tail}#0")
    refused(check_person_id, "yt:dQw4w9WgXcQ/05+5#0")


def test_disk_names_differ_where_file_systems_do_not() -> None:
    names = [
        disk_name(i)
        for i in (
            "yt:abcdefghijk",
            "yt:ABCDEFGHIJK",
            "yt:-bcdefghijk",
            "yt:abcdefghijk/0+125",
            "yt:abcdefghijk/0+125#1",
        )
    ]
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert not name.startswith(("-", "."))
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert disk_name("yt:abcdefghijk") == disk_name("yt:abcdefghijk")


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "http://example.com:8080/a/b?c=d#e",
        "https://93.184.216.34/x.mp4",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://münchen.example.de/ä",
    ],
)
def test_good_links(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//example.com/x",
        "example.com",
        "http://",
        "https://user:secret@example.com/",
        "https://example.com@evil.example/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://a.localhost/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://0.0.0.0/",
        "http://10.0.0.5/",
        "http://172.16.3.4/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://[::1]/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::]/",
        "http://router/",
        "http://printer.local/",
        "http://metadata.google.internal/",
        "http://example.com:99999/",
        "http://[::1",
        "http://example.com/a b",
        "http://example.com/a\nb",
        "http://example.com/\u202e",
        "http://example.com\\@evil.example/",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_bad_links(url: str) -> None:
    refused(check_url, url)


def test_loopback_only_where_allowed() -> None:
    for url in ("http://127.0.0.1:8000/x", "http://localhost:8000/x", "http://[::1]:8000/x"):
        assert check_url(url, allow_loopback=True) == url
    for url in ("http://10.0.0.1/x", "http://169.254.169.254/x", "http://router/x"):
        refused(check_url, url, allow_loopback=True)
