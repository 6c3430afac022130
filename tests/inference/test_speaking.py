"""The filter behind a synthesiser."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from overtone import StreamEnhancer, stream_tts
from overtone.errors import InvalidInputError

RATE, CHUNK = 24000, 1000


@pytest.fixture
def chunks(make_noise: Any) -> list[Any]:
    return np.split(make_noise(RATE, rms=0.05)[0], RATE // CHUNK)


def test_it_gives_what_the_stream_gives(chunks: list[Any]) -> None:
    found = np.concatenate(list(stream_tts(chunks, RATE)))
    stream = StreamEnhancer(RATE)
    expected = np.concatenate([stream.push(np.concatenate(chunks)), stream.flush()])
    assert found.size == 48000
    # Sharp pulses magnify what chunks of another size round otherwise.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sound_comes_after_the_latency_that_is_stated(chunks: list[Any]) -> None:
    taken = 0

    def synthesise() -> Any:
        nonlocal taken
        for chunk in chunks:
            taken += len(chunk)
            yield chunk

    first = next(iter(stream_tts(synthesise(), RATE)))
    latency = StreamEnhancer(RATE).latency_samples
    assert 2 * taken - latency == first.size
    assert 2 * (taken - CHUNK) <= latency


def test_an_asynchronous_synthesiser_gets_an_asynchronous_filter(chunks: list[Any]) -> None:
    async def synthesise() -> AsyncIterator[Any]:
        for chunk in chunks:
            await asyncio.sleep(0)
            yield chunk

    async def collect() -> list[Any]:
        return [part async for part in stream_tts(synthesise(), RATE)]

    found = np.concatenate(asyncio.run(collect()))
    assert np.array_equal(found, np.concatenate(list(stream_tts(chunks, RATE))))


def test_bytes_are_16_bit_samples_and_tensors_are_arrays(chunks: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    whole = [np.round(chunk * 32767).astype("<i2") for chunk in chunks]
    expected = np.concatenate(list(stream_tts(whole, RATE)))
    as_bytes = np.concatenate(list(stream_tts([chunk.tobytes() for chunk in whole], RATE)))
    assert np.array_equal(as_bytes, expected)
    tensors = [torch.from_numpy(chunk) for chunk in chunks]
    floats = np.concatenate(list(stream_tts(chunks, RATE)))
    assert np.array_equal(np.concatenate(list(stream_tts(tensors, RATE))), floats)


def test_what_cannot_be_used_is_said(chunks: list[Any]) -> None:
    with pytest.raises(InvalidInputError, match="3 bytes"):
        list(stream_tts([b"abc"], RATE))
    with pytest.raises(InvalidInputError):
        stream_tts(chunks, 96000)  # nothing says where its band ends
