"""A filter behind a text-to-speech system: its chunks in, chunks of the full band out."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from overtone.errors import InvalidInputError
from overtone.inference.streaming import StreamEnhancer

FloatArray = NDArray[np.float32]


@overload
def stream_tts(chunks: Iterable[Any], rate: int, **options: Any) -> Iterator[FloatArray]: ...
@overload
def stream_tts(
    chunks: AsyncIterable[Any], rate: int, **options: Any
) -> AsyncIterator[FloatArray]: ...
def stream_tts(
    chunks: Iterable[Any] | AsyncIterable[Any], rate: int, **options: Any
) -> Iterator[FloatArray] | AsyncIterator[FloatArray]:
    """Extend speech as it is synthesised, chunk by chunk.

    Args:
        chunks: of one channel, as systems give them: arrays ``[samples]`` of floats with full
            scale 1 or of integers, or bytes of 16-bit little-endian PCM. An iterator, or an
            asynchronous one.
        rate: of the chunks, in Hz.
        options: as :class:`StreamEnhancer` has them. Without, the band is taken to reach half the
            rate, and the output is at 48 kHz (44.1 kHz for its divisors).

    Returns:
        A generator of the same kind, of float32 ``[samples]`` at the output rate: what is due
        after each chunk, if anything is, and at the end the rest. Speech at 24 kHz comes 37 ms
        later than it went in.

    Raises:
        InvalidInputError: the rate cannot be used; later, a chunk.

    Example:
        >>> speech = np.zeros(24000, np.float32)  # in place of a synthesiser
        >>> sum(part.size for part in stream_tts(np.split(speech, 10), 24000))
        48000
    """
    stream = StreamEnhancer(rate, 1, **options)
    if isinstance(chunks, AsyncIterable):
        return _each_async(stream, chunks)
    return _each(stream, chunks)


def _each(stream: StreamEnhancer, chunks: Iterable[Any]) -> Iterator[FloatArray]:
    for chunk in chunks:
        if (due := stream.push(_samples(chunk))).size:
            yield due
    if (rest := stream.flush()).size:
        yield rest


async def _each_async(
    stream: StreamEnhancer, chunks: AsyncIterable[Any]
) -> AsyncIterator[FloatArray]:
    async for chunk in chunks:
        if (due := stream.push(_samples(chunk))).size:
            yield due
    if (rest := stream.flush()).size:
        yield rest


def _samples(chunk: Any) -> Any:
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        if len(chunk) % 2:
            raise InvalidInputError(f"a chunk of {len(chunk)} bytes is not of 16-bit samples")
        return np.frombuffer(chunk, "<i2")
    # A tensor, without asking what made it.
    return chunk.detach().cpu().numpy() if hasattr(chunk, "detach") else chunk
