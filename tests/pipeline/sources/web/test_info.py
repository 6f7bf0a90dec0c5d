"""What is read out of yt-dlp's info."""

import pytest

from pipeline.sources.web.info import handle


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ({"uploader_id": "@somebody"}, "@somebody"),
        ({"uploader_id": " @some\u202ebody\n"}, "@somebody"),
        ({"uploader_id": "UC0123456789"}, None),
        ({"uploader_id": None}, None),
        ({"uploader_id": 7}, None),
        ({}, None),
    ],
)
def test_a_handle_begins_with_its_sign(info: dict[str, object], name: str | None) -> None:
    assert handle(info) == name
