"""Many files with one call: what it returns, what it reports on the way, and both kinds of end."""

import io

import numpy as np
import pytest
import soundfile

import overtone
from overtone.errors import InvalidInputError
from overtone.inference import Outcome


@pytest.fixture
def recordings(tmp_path, examples_dir):
    samples, rate = soundfile.read(examples_dir / "speech_en_8k.flac")
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.wav", "deep/b.wav"):
        soundfile.write(folder / name, samples[:8000], rate)
    (folder / "text.wav").write_text("This is not audio.")
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_is_enhanced_with_progress(recordings, tmp_path, jobs):
    told: list[Outcome] = []
    seen: list[tuple[float, int]] = []
    outcomes = overtone.enhance_files(
        recordings,
        tmp_path / "out",
        cutoff_hz=3700.0,
        jobs=jobs,
        progress=lambda done, files: seen.append((done, files)),
        on_outcome=told.append,
    )
    assert told == outcomes
    found = {outcome.source.relative_to(recordings).as_posix(): outcome for outcome in outcomes}
    assert set(found) == {"a.wav", "deep/b.wav", "text.wav"}
    assert "text.wav: is not audio" in found["text.wav"].error
    report = found["deep/b.wav"].report
    assert (report.cutoff.cutoff_hz, report.output_rate) == (3700.0, 48000)
    assert soundfile.info(tmp_path / "out" / "deep" / "b.wav").frames == 48000
    assert seen == sorted(seen)
    assert seen[-1] == (3, 3)


def test_what_exists_is_a_failure_and_the_rest_is_done(recordings, tmp_path):
    sources = [recordings / "a.wav", recordings / "deep" / "b.wav"]
    overtone.enhance_files(sources[:1], tmp_path / "out")
    first, second = overtone.enhance_files(sources, str(tmp_path / "out"))
    assert "exists already; use overwrite=True" in first.error
    assert second.report is not None


def test_open_files_are_read_and_written(recordings):
    out = io.BytesIO()
    with (recordings / "a.wav").open("rb") as file:
        [outcome] = overtone.enhance_files(file, out)
    assert outcome.source == recordings / "a.wav"
    samples, rate = soundfile.read(io.BytesIO(out.getvalue()))
    assert (len(samples), rate) == (48000, 48000)
    again = io.BytesIO()
    overtone.enhance_files([recordings / "a.wav"], again)
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(again.getvalue()))[0], samples)


def test_a_stream_needs_a_place_to_go(recordings, tmp_path):
    stream = io.BytesIO((recordings / "a.wav").read_bytes())
    with pytest.raises(InvalidInputError, match="needs an output"):
        overtone.enhance_files(stream)
    with pytest.raises(InvalidInputError, match="no name to keep"):
        overtone.enhance_files(stream, tmp_path)
    with pytest.raises(InvalidInputError, match="cannot take 3 files"):
        overtone.enhance_files(recordings, io.BytesIO())


def test_progress_weighs_files_by_size_and_counts_their_analysis(tmp_path, examples_dir):
    samples, rate = soundfile.read(examples_dir / "speech_en_8k.flac")
    for name, count in (("a.wav", 24000), ("b.wav", 8000)):
        soundfile.write(tmp_path / name, samples[:count], rate)
    sizes = [(tmp_path / name).stat().st_size for name in ("a.wav", "b.wav")]
    seen = []
    overtone.enhance_files(tmp_path, tmp_path / "out", progress=lambda *told: seen.append(told[0]))
    assert seen == sorted(seen)
    assert any(done == pytest.approx(2 * sizes[0] / sum(sizes)) for done in seen)
    assert 0 < seen[0] < 0.2  # a third of the analysis of the first
    assert seen[-1] == 2
