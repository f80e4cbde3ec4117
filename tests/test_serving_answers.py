# SPDX-License-Identifier: Apache-2.0
"""One request answered by a pipeline, as a worker does it: shapes, details, errors in their place, time, the gate."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from passerby import Pipeline, create_pipeline
from passerby.errors import ServerError
from passerby.serving.answering import answer
from passerby.serving.answers import error_body, json_bytes
from passerby.serving.gate import JobGate, Room, Turns
from passerby.serving.jobs import Job, Reply
from passerby.serving.settings import ServerSettings

from . import tiny
from .conftest import CORPUS
from .corpus_server import CorpusServer

GOOD = (CORPUS / "image/jpeg_baseline.jpg").read_bytes()
GOOD_TEXT = base64.b64encode(GOOD).decode()
PERSON = ["bbox", "attributes", "score"]
DETAILS = [*PERSON, "uncertain", "colours", "judgeable", "reasons", "note", "probabilities", "decisions"]


def street() -> bytes:
    """A picture on which the tiny detector finds several boxes."""
    buffer = io.BytesIO()
    Image.fromarray(tiny.picture(3)[:, :, ::-1]).save(buffer, "PNG")
    return buffer.getvalue()


class Desk:
    """A worker's place to answer at: one pipeline, one turn, and what went on at the gate."""

    def __init__(self, pipeline: Pipeline, **options: Any) -> None:
        self.pipeline = pipeline
        self.settings = ServerSettings(**options)
        self.computing, self.fetching, self.room = Turns(1), Turns(1), Room(4)
        self.away: list[bool] = []

    def gate(self, deadline: float) -> JobGate:
        return JobGate(
            computing=self.computing, fetching=self.fetching, room=self.room, deadline=deadline, tell=self.away.append
        )

    def ask(
        self,
        body: Any,
        *,
        content_type: str = "application/json",
        query: str = "",
        seconds: float = 60,
        before: Callable[[JobGate], None] = lambda _: None,
    ) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        deadline = time.monotonic() + seconds
        job = Job(number=7, log_id="ours", content_type=content_type, query=query, body=data, deadline=deadline)
        gate = self.gate(deadline)
        before(gate)
        reply = answer(job, self.pipeline, self.settings, gate)
        free = self.gate(time.monotonic() + 1)
        free.acquire()  # the one turn is there again
        free.release()
        assert self.away == [True, False] * (len(self.away) // 2)
        assert reply.number == 7
        if reply.content_type == "application/json":
            said = json.loads(reply.body)
            assert said["logId"] == reply.log_id
            assert list(said) == (
                ["logId", "errorCode", "errorMsg"] if reply.error else ["logId", "result", "errorCode", "errorMsg"]
            )
            assert said["errorCode"] == (reply.status if reply.error else 0)
        return reply

    def result(self, body: Any, **more: Any) -> dict[str, Any]:
        reply = self.ask(body, **more)
        assert reply.status == 200, reply.body
        result: dict[str, Any] = json.loads(reply.body)["result"]
        return result

    def error(self, body: Any, **more: Any) -> str:
        """The machine name of the error, after a look at its message and status."""
        reply = self.ask(body, **more)
        assert reply.error is not None, reply.body
        assert json.loads(reply.body)["errorMsg"].startswith(f"{reply.error}: ")
        return reply.error


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return tiny.pipeline()


@pytest.fixture
def desk(pipeline: Pipeline) -> Desk:
    return Desk(pipeline)


def test_the_answer_is_the_originals(desk: Desk, pipeline: Pipeline) -> None:
    reply = desk.ask({"image": base64.b64encode(street()).decode()})
    result = json.loads(reply.body)["result"]
    (expected,) = pipeline.predict(street())
    assert list(result) == ["pedestrians", "image"]
    assert len(result["pedestrians"]) == len(expected.persons) == reply.persons > 1
    for said, person in zip(result["pedestrians"], expected.persons, strict=True):
        assert list(said) == PERSON
        saved = person.to_dict()
        assert said["bbox"] == saved["coordinate"]
        assert said["score"] == saved["det_score"]
        assert [one["label"] for one in said["attributes"]] == saved["labels"]
        assert [one["score"] for one in said["attributes"]] == saved["cls_scores"]
    drawn = Image.open(io.BytesIO(base64.b64decode(result["image"], validate=True)))
    assert (drawn.format, drawn.size) == ("JPEG", (320, 240))
    difference = np.abs(np.asarray(drawn, float)[:, :, ::-1] - expected.drawn())
    assert difference.mean() < 12  # JPEG, and nothing else
    assert (reply.pictures, reply.pixels, reply.status) == (1, 320 * 240, 200)
    assert set(reply.seconds) == {"parse", "decode", "infer", "draw", "encode"}
    assert all(seconds >= 0 for seconds in reply.seconds.values())


def test_every_way_to_send_a_picture_gives_the_same(desk: Desk) -> None:
    pytest.importorskip("python_multipart")
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    ways = [
        desk.result({"image": GOOD_TEXT}),
        desk.result({"image": f"data:image/jpeg;base64,{GOOD_TEXT}"}),
        desk.result({"images": [GOOD_TEXT]})["results"][0],
        desk.result(GOOD, content_type="image/jpeg"),
        desk.result(GOOD, content_type="image/png"),  # the first bytes decide
        desk.result(head + GOOD + b"\r\n--b--\r\n", content_type="multipart/form-data; boundary=b"),
    ]
    assert all(way == ways[0] for way in ways)


def test_without_a_picture_back(desk: Desk) -> None:
    assert list(desk.result({"image": GOOD_TEXT, "visualize": False})) == ["pedestrians"]


def test_the_configuration_says_whether_to_draw_and_a_request_overrules_it() -> None:
    quiet = Desk(create_pipeline(config={**tiny.config(), "Serving": {"visualize": False}}, device="cpu"))
    assert list(quiet.result({"image": GOOD_TEXT})) == ["pedestrians"]
    assert list(quiet.result({"image": GOOD_TEXT, "visualize": True})) == ["pedestrians", "image"]
    assert quiet.ask({"image": GOOD_TEXT, "output": "image"}).content_type == "image/jpeg"


def test_the_picture_itself(desk: Desk) -> None:
    reply = desk.ask(GOOD, content_type="image/jpeg", query="output=image")
    assert (reply.status, reply.content_type) == (200, "image/jpeg")
    assert reply.body == base64.b64decode(desk.result({"image": GOOD_TEXT})["image"])


def test_details(desk: Desk) -> None:
    result = desk.result({"image": base64.b64encode(street()).decode(), "details": True, "visualize": False})
    assert result["size"] == [320, 240]
    ids = [label.id for label in desk.pipeline.labels]
    for person in result["pedestrians"]:
        assert list(person) == DETAILS
        assert list(person["probabilities"]) == ids
        assert person["decisions"] is None  # the configuration gives a threshold
        assert all(0 <= p <= 1 for p in person["probabilities"].values())


def test_details_of_a_model_that_decides() -> None:
    """The shipped models: three answers, colours, and who can be judged."""
    shipped = Desk(create_pipeline(device="cpu"))
    picture = (Path(__file__).parents[1] / "src/passerby/assets/street.jpg").read_bytes()
    result = shipped.result(picture, content_type="image/jpeg", query="details=true&labels=en&visualize=false")
    people = result["pedestrians"]
    assert people
    for person in people:
        assert list(person) == DETAILS
        assert list(person["decisions"]) == list(person["probabilities"]) == [x.id for x in shipped.pipeline.labels]
        assert set(person["decisions"].values()) <= {"yes", "no", "uncertain"}
        assert set(person["colours"]) <= {"upper", "lower"}
        assert isinstance(person["judgeable"], bool)
    own = shipped.result(picture, content_type="image/jpeg", query="details=true&visualize=false&clsThreshold=0.5")
    assert all(person["decisions"] is None for person in own["pedestrians"])


@pytest.mark.parametrize(
    ("labels", "text"), [("en", "Hat"), ("zh", "帽子"), ("paddle", "Hat(帽子)"), ("both", "Hat 帽子")]
)
def test_languages(pipeline: Pipeline, labels: str, text: str) -> None:
    asked = {"image": GOOD_TEXT, "visualize": False, "clsThreshold": 0}
    for result in (Desk(pipeline).result({**asked, "labels": labels}), Desk(pipeline, labels=labels).result(asked)):
        (person, *_) = result["pedestrians"]
        assert text in [one["label"] for one in person["attributes"]]
        assert len(person["attributes"]) == 26


def test_thresholds_act(desk: Desk) -> None:
    asked = {"image": base64.b64encode(street()).decode(), "visualize": False}
    assert desk.result({**asked, "detThreshold": 1})["pedestrians"] == []
    more = desk.result({**asked, "detThreshold": 0.1})["pedestrians"]
    assert len(more) > len(desk.result(asked)["pedestrians"]) > 0
    none = desk.result({**asked, "clsThreshold": [1.0] * 26})["pedestrians"]
    assert all(person["attributes"] == [] for person in none)
    hats = desk.result({**asked, "clsThreshold": {"default": 1, "0": 0}, "labels": "en"})["pedestrians"]
    assert all([one["label"] for one in person["attributes"]] == ["Hat"] for person in hats)


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ([0.5, 0.5], "clsThreshold has 2 numbers, the model has 26 labels"),
        ([0.5] * 27, "clsThreshold has 27 numbers, the model has 26 labels"),
        ({"26": 0.5}, "clsThreshold names label 26, the model has 0..25"),
    ],
)
def test_thresholds_are_held_against_the_model_before_anything_is_fetched(
    desk: Desk, threshold: Any, said: str
) -> None:
    with CorpusServer({}) as server:
        reply = desk.ask({"image": server.url(), "clsThreshold": threshold})
        assert server.requests == []
    assert reply.error == "request_invalid"
    assert said in json.loads(reply.body)["errorMsg"]


def test_a_bad_picture_does_not_stop_the_others(desk: Desk) -> None:
    cut = base64.b64encode(GOOD[:300]).decode()
    asked = [GOOD_TEXT, cut, "AAA", "http://127.0.0.1/x.jpg", "", GOOD_TEXT]
    reply = desk.ask({"images": asked, "visualize": False})
    results = json.loads(reply.body)["result"]["results"]
    assert (reply.status, reply.error) == (200, None)
    names = [one["error"]["name"] if "error" in one else "ok" for one in results]
    assert names == ["ok", "image_truncated", "request_invalid", "address_forbidden", "input_empty", "ok"]
    for one in results:
        if "error" in one:
            assert one["error"]["message"].startswith(f"{one['error']['name']}: ")
    assert results[0] == results[5] == desk.result({"image": GOOD_TEXT, "visualize": False})
    assert reply.persons == 2 * len(results[0]["pedestrians"])


def test_pictures_are_fetched_without_a_turn(pipeline: Pipeline) -> None:
    routes = {"/a.jpg": {"status": 200, "body": {"file": "image/jpeg_baseline.jpg"}}, "/no": {"status": 404}}
    with CorpusServer(routes) as server:
        desk = Desk(pipeline, fetch_allow=(f"127.0.0.1:{server.port}",))
        reply = desk.ask({"image": server.url(), "visualize": False})
        assert json.loads(reply.body)["result"] == desk.result({"image": GOOD_TEXT, "visualize": False})
        assert "fetch" in reply.seconds
        assert desk.away == [True, False]
        several = desk.result({"images": [server.url("/no"), server.url()], "visualize": False})["results"]
        assert [set(one) for one in several] == [{"error"}, {"pedestrians"}]
        assert desk.error({"image": server.url("/no")}) == "fetch_status"
        assert Desk(pipeline, fetch=False).error({"image": server.url()}) == "url_forbidden"
        assert len(server.requests) == 4


def test_too_many_that_fetch_are_refused_and_the_turn_is_not_lost(pipeline: Pipeline) -> None:
    desk = Desk(pipeline)
    desk.room = Room(0)
    assert desk.error({"image": "http://a.test/x.jpg"}) == "overloaded"
    results = desk.result({"images": ["http://a.test/x.jpg", GOOD_TEXT], "visualize": False})["results"]
    assert results[0]["error"]["name"] == "overloaded"
    assert results[1]["pedestrians"]


def test_the_deadline_stands_between_the_stages(pipeline: Pipeline) -> None:
    with CorpusServer({"/a.jpg": {"status": 200, "delay_s": 20}}) as server:
        desk = Desk(pipeline, fetch_allow=(f"127.0.0.1:{server.port}",))
        assert desk.error({"image": GOOD_TEXT}, seconds=0) == "deadline_exceeded"
        start = time.monotonic()
        assert desk.error({"image": server.url()}, seconds=0.5) == "deadline_exceeded"
        assert desk.error({"images": [server.url(), GOOD_TEXT]}, seconds=0.5) == "deadline_exceeded"
        assert time.monotonic() - start < 10


def test_a_job_that_nobody_waits_for_is_not_computed(desk: Desk) -> None:
    reply = desk.ask({"image": GOOD_TEXT}, before=JobGate.drop)
    assert (reply.error, reply.status) == ("interrupted", 503)
    assert "infer" not in reply.seconds


def test_pages_and_limits(pipeline: Pipeline) -> None:
    desk = Desk(pipeline)
    pages = (CORPUS / "image/tiff_pages.tif").read_bytes()
    assert desk.result(pages, content_type="image/tiff", query="details=true")["size"] == [48, 32]
    assert Desk(pipeline, max_pixels=48 * 32 - 1).error({"image": GOOD_TEXT}) == "image_too_large"
    assert Desk(pipeline, max_pixels=48 * 32).result({"image": GOOD_TEXT})
    assert Desk(pipeline, max_pictures=2).error({"images": [GOOD_TEXT] * 3}) == "request_invalid"


def test_a_picture_that_no_jpeg_can_hold(desk: Desk) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (66_000, 1)).save(buffer, "PNG")
    reply = desk.ask(buffer.getvalue(), content_type="image/png")
    assert (reply.error, reply.status) == ("image_too_large", 422)
    assert "visualize false" in json.loads(reply.body)["errorMsg"]
    assert set(desk.result(buffer.getvalue(), content_type="image/png", query="visualize=false")) == {"pedestrians"}


def test_the_clients_log_id_comes_back_also_with_an_error(desk: Desk) -> None:
    assert desk.ask({"image": GOOD_TEXT, "logId": "trace-1.a_b"}).log_id == "trace-1.a_b"
    assert desk.ask({"logId": "trace-2"}).log_id == "trace-2"
    assert desk.ask({"image": "AAA", "logId": "trace-3"}).log_id == "trace-3"
    assert desk.ask({"image": GOOD_TEXT, "logId": "x\nforged"}).log_id == "ours"
    assert desk.ask(b"no json").log_id == "ours"


def test_a_bug_is_named_and_only_the_log_knows_more(capfd: pytest.CaptureFixture[str]) -> None:
    broken: Any = object()  # no pipeline at all
    reply = Desk(broken).ask({"image": GOOD_TEXT, "logId": "trace-9"})
    assert (reply.status, reply.error) == (500, "internal")
    assert b"Attribute" not in reply.body
    (line,) = capfd.readouterr().err.splitlines()
    written = json.loads(line)
    assert (written["logId"], written["name"]) == ("trace-9", "internal")
    assert "AttributeError" in written["traceback"]


def test_bodies_hold_no_markup() -> None:
    error = ServerError("not_found", "there is no <script>alert(1)</script>")
    body = error_body("a1", error)
    assert b"<" not in body
    assert json.loads(body)["errorMsg"] == error.message
    assert json_bytes({"a": "帽子"}) == '{"a":"帽子"}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        json_bytes({"a": float("nan")})
