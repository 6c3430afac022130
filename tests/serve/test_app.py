"""The service answers as the library does, refuses in one line, and leaves nothing behind."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
import soundfile

from overtone import Enhancer
from overtone.serve.app import REPORT_HEADER, create_app
from overtone.serve.options import Options
from overtone.serve.settings import Settings

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def call(examples_dir, tmp_path_factory):
    """A second of a telephone call, as the bytes of a WAV file."""
    samples, rate = soundfile.read(examples_dir / "speech_en_8k.flac", stop=8000)
    path = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(path, samples, rate)
    return path


def wav(samples, rate=8000, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": "WAV", **options})
    return file.getvalue()


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {}),
        ({"format": "flac", "rate": "44100"}, {"output_rate": 44100}),
        ({"cutoff": "3400", "bits": "24"}, {"cutoff_hz": 3400.0, "subtype": "PCM_24"}),
    ],
)
@pytest.mark.parametrize("as_form", [True, False])
def test_answers_the_bytes_that_the_library_writes(
    client, call, tmp_path, options, arguments, as_form
):
    expected = tmp_path / f"out.{options.get('format', 'wav')}"
    Enhancer(device="cpu", threads=1).enhance_file(call, expected, **arguments)
    if as_form:
        files = {"file": ("call.wav", call.read_bytes(), "audio/wav")}
        answer = client.post("/v1/enhance", files=files, data=options)
    else:
        answer = client.post(
            "/v1/enhance", content=call.read_bytes(), params=options, headers=OCTETS
        )
    assert answer.status_code == 200, answer.text
    assert answer.content == expected.read_bytes()
    report = json.loads(answer.headers[REPORT_HEADER])
    assert report["source"] == ("call.wav" if as_form else "upload")
    assert (report["input_rate"], report["changed"]) == (8000, True)


def test_the_report_and_the_audio_come_as_json(client, call):
    headers = OCTETS | {"Accept": "application/json"}
    answer = client.post("/v1/enhance", content=call.read_bytes(), headers=headers).json()
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(answer["audio"])))
    assert (len(samples), rate) == (48000, answer["report"]["output_rate"])


@pytest.mark.parametrize(
    ("body", "headers", "options", "status", "words"),
    [
        (b"not audio" * 99, OCTETS, {}, 422, "upload"),
        (b"", OCTETS, {}, 422, "empty"),
        (b"x" * 3_000_000, OCTETS, {}, 413, "2 MB"),
        (b"x", {"Content-Type": "application/x-www-form-urlencoded"}, {}, 415, "octet-stream"),
        (b"x", {"Content-Type": "multipart/form-data"}, {}, 400, "form"),
        (wav(np.zeros((400, 64))), OCTETS, {}, 413, "64 channels"),
        (wav(np.zeros(400), 192_000), OCTETS, {}, 413, "192000 Hz"),
        (wav(np.zeros(8000 * 30), format="FLAC"), OCTETS, {}, 413, "longer than 20 s"),
        (wav(np.zeros(400)), OCTETS, {"model": "/etc/passwd"}, 422, "no model"),
        (wav(np.zeros(400)), OCTETS, {"cutoff": "9000"}, 422, "cutoff 9000 Hz"),
        (wav(np.zeros(400)), OCTETS, {"cutoff": "nan"}, 422, "cutoff"),
        (wav(np.zeros(400)), OCTETS, {"cutoff": "low"}, 422, "cutoff: Input should be a valid n"),
        (wav(np.zeros(400)), OCTETS, {"cut": "1"}, 422, "cut: "),
        (wav(np.zeros(400)), OCTETS, {"format": "mp3", "rate": "96000"}, 422, "(rate)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_requests_are_refused_in_one_line(client, body, headers, options, status, words):
    answer = client.post("/v1/enhance", content=body, headers=headers, params=options)
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert words in detail
    assert "\n" not in detail
    assert "/tmp" not in detail
    assert client.get("/healthz").status_code == 200


def test_a_long_body_without_a_length_is_cut_off(client):
    pieces = (b"x" * 100_000 for _ in range(40))
    answer = client.post("/v1/enhance", content=pieces, headers=OCTETS)
    assert answer.status_code == 413


def test_a_client_that_stalls_is_sent_away(client):
    def stalling():
        yield b"RIFF"
        time.sleep(2)
        yield b"x"

    answer = client.post("/v1/enhance", content=stalling(), headers=OCTETS)
    assert answer.status_code == 408


def test_a_path_in_a_file_name_is_no_path(client, call):
    files = {"file": ("../../etc/evil.wav", call.read_bytes())}
    answer = client.post("/v1/enhance", files=files)
    assert json.loads(answer.headers[REPORT_HEADER])["source"] == "evil.wav"
    assert 'filename="evil.enhanced.wav"' in answer.headers["content-disposition"]


def test_a_full_disk_is_said_to_be_full(client, call, monkeypatch):
    async def receive(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("overtone.serve.service.receive", receive)
    answer = client.post("/v1/enhance", content=call.read_bytes(), headers=OCTETS)
    assert answer.status_code == 507
    assert "full" in answer.json()["detail"]


def test_a_job_is_watched_fetched_and_deleted(client, call):
    files = {"file": ("call.wav", call.read_bytes())}
    job = client.post("/v1/jobs", files=files, params={"format": "flac"}).json()
    url = f"/v1/jobs/{job['id']}"
    early = client.get(f"{url}/result")
    assert early.status_code in (200, 409)
    with client.stream("GET", f"{url}/events") as events:
        lines = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line]
    progress = [line["progress"] for line in lines]
    assert progress == sorted(progress)
    assert lines[-1]["state"] == "done"
    assert lines[-1] == client.get(url).json()
    result = client.get(f"{url}/result")
    assert soundfile.info(io.BytesIO(result.content)).samplerate == 48000
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404


def test_a_job_that_fails_says_why(client):
    job = client.post("/v1/jobs", content=b"nonsense", headers=OCTETS).json()
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        last = [line for line in events.iter_lines() if line][-1]
    assert json.loads(last.removeprefix("data: "))["state"] == "failed"
    answer = client.get(f"/v1/jobs/{job['id']}/result")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("upload: ")


def test_results_expire_and_only_so_many_jobs_are_kept(client, service, call, monkeypatch):
    body = call.read_bytes()
    job = client.post("/v1/jobs", content=body, headers=OCTETS).json()
    with client.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        assert list(events.iter_lines())
    monkeypatch.setattr(service.jobs, "_most", 1)
    assert client.post("/v1/jobs", content=body, headers=OCTETS).status_code == 429
    monkeypatch.setattr(service.jobs, "_expire_s", 0)
    service.jobs.expire()
    assert client.get(f"/v1/jobs/{job['id']}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Host": "localhost:1"}, 200),
        ({}, 200),
    ],
)
def test_pages_of_other_sites_get_nothing(client, headers, status):
    assert client.get("/v1/models", headers=headers).status_code == status


def test_a_token_is_asked_for_where_one_is_set():
    app = create_app(Settings(host="0.0.0.0", token="secret"))

    async def statuses():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://far") as client:
            asked = [
                ("/healthz", ""),
                ("/v1/models", ""),
                ("/v1/models", "x"),
                ("/v1/models", "secret"),
            ]
            for path, token in asked:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                yield (await client.get(path, headers=headers)).status_code

    async def listed():
        return [status async for status in statuses()]

    assert asyncio.run(listed()) == [200, 401, 401, 200]


def test_models_and_metrics_are_told(client):
    names = {model["name"]: model for model in client.get("/v1/models").json()}
    assert names["speech"]["is_default"]
    client.get("/no/such/path")
    metrics = client.get("/metrics").text
    assert 'overtone_requests_total{method="GET",route="/v1/models",status="200"}' in metrics
    assert "/no/such/path" not in metrics


def test_options_are_those_of_the_command_line():
    from typer.main import get_command

    from overtone.cli import app

    there = {parameter.name for parameter in get_command(app).commands["enhance"].params}
    named = {"strength": "strength_db", "format": "output"}
    assert {named.get(name, name) for name in Options.model_fields} <= there


def test_a_described_service_answers_as_described(service):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{service.address}/openapi.json")
    quick = settings(
        max_examples=6,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @quick
        @given(case=operation.as_strategy())
        def check(case):
            nonlocal tried
            tried += 1
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
    assert tried > 30


def test_sigterm_ends_a_service_that_works_and_leaves_nothing(tmp_path, examples_dir):
    arguments = [sys.executable, "-c", "from overtone.cli import main; main()", "serve"]
    process = subprocess.Popen(
        [*arguments, "--port", "0", "--workers", "1"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stderr.readline().split()[-1]
        body = (examples_dir / "speech_en_8k.flac").read_bytes()
        for _ in range(2):
            answer = httpx.post(f"{address}/v1/jobs", content=body, headers=OCTETS)
            assert answer.status_code == 202
        assert list(tmp_path.iterdir())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.stderr.close()
    assert list(tmp_path.iterdir()) == []


def test_another_host_needs_a_token(monkeypatch, capsys):
    from overtone.cli import main

    monkeypatch.setattr(sys, "argv", ["overtone", "serve", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--token" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_the_cure(monkeypatch, capsys):
    from overtone.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["overtone", "serve", "--workers", "1", "--port", port])
        with pytest.raises(SystemExit, match="1"):
            main()
    assert f"overtone: cannot listen at 127.0.0.1:{port}; give another --port" in (
        capsys.readouterr().err
    )
