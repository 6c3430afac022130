"""The streaming part of openai: a response with bytes of PCM at 24 kHz."""

from contextlib import asynccontextmanager
from types import SimpleNamespace


class AsyncOpenAI:
    def __init__(self):
        streaming = SimpleNamespace(create=create)
        self.audio = SimpleNamespace(speech=SimpleNamespace(with_streaming_response=streaming))


@asynccontextmanager
async def create(*, model, voice, input, response_format):
    assert response_format == "pcm"

    async def iter_bytes(chunk_size):
        for _ in range(5):
            yield bytes(chunk_size)

    yield SimpleNamespace(iter_bytes=iter_bytes)
