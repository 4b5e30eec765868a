"""A line of a watch: an event, a bookmark, a failure of the server's, or nothing that is known."""

from __future__ import annotations

import pytest

from podfence.kube.follow import Failure
from podfence.kube.watchlines import Bookmark, WatchEvent, read_line


def test_an_event_keeps_its_object_as_bytes() -> None:
    told = read_line(b'{"type":"ADDED","object":{"metadata": {"name":"a"}},"more":1}')
    assert isinstance(told, WatchEvent)
    assert (told.type, bytes(told.object)) == ("ADDED", b'{"metadata": {"name":"a"}}')


@pytest.mark.parametrize(
    ("metadata", "bookmark"),
    [
        (b'{"resourceVersion":"9"}', Bookmark("9", ends_initial=False)),
        (
            b'{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}',
            Bookmark("9", ends_initial=True),
        ),
        (
            b'{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"false"}}',
            Bookmark("9", ends_initial=False),
        ),
        (b'{"annotations":null}', Bookmark("", ends_initial=False)),
    ],
)
def test_a_bookmark_says_up_to_which_version_all_is_told(
    metadata: bytes, bookmark: Bookmark
) -> None:
    assert read_line(b'{"type":"BOOKMARK","object":{"metadata":' + metadata + b"}}") == bookmark


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (b'{"code":410,"message":"too old"}', Failure(410, "too old")),
        (b'{"code":429,"details":{"retryAfterSeconds":3}}', Failure(429, "", pause=3.0)),
        (b'{"code":500,"details":{"retryAfterSeconds":0}}', Failure(500, "", pause=0.0)),
        (
            b'{"code":504,"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}',
            Failure(504, "", too_new=True),
        ),
        (b'{"code":504,"details":{"causes":[{"reason":"Other"}]}}', Failure(504, "")),
        (b"{}", Failure(0, "")),
    ],
)
def test_an_error_is_a_failure_of_the_server(status: bytes, failure: Failure) -> None:
    assert read_line(b'{"type":"ERROR","object":' + status + b"}") == failure


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"object":{}}',
        b'{"type":1,"object":{}}',
        b'{"type":"BOOKMARK","object":{"metadata":7}}',
        b'{"type":"BOOKMARK","object":[]}',
        b'{"type":"ERROR","object":{"code":"410"}}',
        b'{"type":"ADDED","object":{}} {}',
        b'{"type":"ADDED\xff"}',
        b'{"type":"ADDED","object":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_line_of_a_watch_is_none(line: bytes) -> None:
    assert read_line(line) is None
