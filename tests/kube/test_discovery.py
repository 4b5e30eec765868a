"""Answers of an API server that are no JSON, or not of the form that was asked for."""

from __future__ import annotations

import pytest
from msgspec import Struct

from podfence.errors import ClusterError
from podfence.kube.discovery import decode_as, decode_json


class _Named(Struct):
    name: str


DEEP = b'{"name":"a","more":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"name":1}', b'{"name":"\xff"}', DEEP])
def test_an_answer_of_another_form_is_an_error_that_names_its_path(body: bytes) -> None:
    with pytest.raises(ClusterError, match="answer to /a"):
        decode_as(_Named, body, "/a")


def test_an_answer_of_this_form() -> None:
    assert decode_as(_Named, b'{"name":"a","more":[1]}', "/a") == _Named("a")


@pytest.mark.parametrize("body", [b"", b"[]", DEEP])
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(ClusterError, match="answer to /a"):
        decode_json(body, "/a")
