"""The WebSocket gives the samples of the library's stream, and says why it ends."""

import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from overtone import StreamEnhancer

OPTIONS = {"input_rate": 8000, "format": "f32le"}


@pytest.fixture
def socket(service):
    with connect(service.address.replace("http", "ws") + "/v1/stream") as socket:
        yield socket


def test_samples_are_those_of_the_library(socket, examples_dir):
    samples, _ = soundfile.read(examples_dir / "speech_en_8k.flac", dtype="float32", stop=8000)
    stream = StreamEnhancer(8000)
    expected = np.concatenate([stream.push(samples), stream.flush()])
    socket.send(json.dumps(OPTIONS))
    told = json.loads(socket.recv())
    assert (told["rate"], told["latency_samples"]) == (48000, stream.latency_samples)
    out = []
    for start in range(0, 8000, 1600):
        socket.send(samples[start : start + 1600].tobytes())
        out.append(socket.recv())
    socket.send('{"end": true}')
    out.append(socket.recv())
    np.testing.assert_allclose(np.frombuffer(b"".join(out), "<f4"), expected, atol=1e-6)
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv()
    assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([b"\0\0\0\0"], "options first"),
        (["nonsense"], "options"),
        ([json.dumps({"input_rate": 8000, "model": "/etc/passwd"})], "no model"),
        ([json.dumps({"input_rate": 48000})], "give cutoff, or analysis seconds"),
        ([json.dumps({"input_rate": 8000, "channels": 64})], "channels"),
        ([json.dumps(OPTIONS), "text"], "binary"),
        ([json.dumps(OPTIONS), b"\0\0\0"], "whole frames"),
        ([json.dumps(OPTIONS), np.float32([np.nan]).tobytes()], "NaN"),
    ],
)
def test_what_is_no_stream_is_ended_with_a_reason(socket, messages, words):
    def talk():
        for message in messages:
            socket.send(message)
        while True:
            socket.recv()

    with pytest.raises(ConnectionClosed) as closed:
        talk()
    assert closed.value.rcvd.code == 1007
    assert words in closed.value.rcvd.reason


def test_pages_of_other_sites_and_too_many_streams_are_refused(service, socket):
    url = service.address.replace("http", "ws") + "/v1/stream"
    socket.send(json.dumps(OPTIONS))
    socket.recv()
    with connect(url) as second, pytest.raises(ConnectionClosed) as closed:
        second.recv()
    assert closed.value.rcvd.code == 1013
    with pytest.raises(Exception, match="403"):
        connect(url, origin="http://evil.example")
