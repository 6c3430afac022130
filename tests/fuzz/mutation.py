"""Mutators: what storage, networks and adversaries do to files. The same seed, the same bytes."""

import random
import struct

TOKENS = (
    b"inf", b"nan", b"-1", b"1e999", b"[" * 2000, b'{"a":' * 500, b"a.b.c=1\n", b'"../../x"',
    b"\xff\xfe", b"[[x]]\n", b"''", b"extends", b"include", b"null", b"9" * 400, b"\0" * 64,
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# Formats say what they are and how long at their start: every other change falls there.
HEADER_BYTES = 512


def mutate(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return ``content`` with one to eight changes; ``others`` lend parts of theirs."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        rng.choice(MUTATORS)(data, others, rng)
    return bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    end = min(len(data), HEADER_BYTES) if rng.random() < 0.5 else len(data)
    return rng.randrange(end + 1)


def _flip(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    data[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])


def _number(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at, kind = _place(data, rng), rng.choice("BHIQ")
    value = rng.choice(NUMBERS) & (1 << 8 * struct.calcsize(kind)) - 1
    packed = struct.pack(rng.choice("<>") + kind, value)
    data[at : at + len(packed)] = packed


def _token(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    token = rng.choice(TOKENS)
    data[at : at + (len(token) if rng.random() < 0.5 else 0)] = token


def _cut(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 4, 100, 4000))]


def _repeat(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    part = data[at : at + rng.choice((1, 8, 300, 5000))]
    data[at:at] = part * rng.choice((1, 2, 20))


def _splice(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    data[_place(data, rng) :] = other[rng.randrange(len(other) + 1) :]


def _noise(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at, count = _place(data, rng), rng.choice((2, 16, 200))
    data[at : at + count] = rng.randbytes(count)


MUTATORS = (_flip, _flip, _number, _number, _token, _cut, _remove, _repeat, _splice, _noise)
