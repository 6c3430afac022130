import io
import json
import pickle

import numpy as np
import pytest
import soundfile as sf

import overtone
from overtone.audio.reader import probe, read_audio
from overtone.dsp.resample import resample, resampled_length
from overtone.errors import AudioFileError, InvalidInputError
from overtone.inference.enhancer import Enhancer
from overtone.inference.planning import default_output_rate
from overtone.metrics import lsd, snr_db


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(device="cpu", threads=1)


@pytest.fixture(scope="module")
def call(examples_dir):
    return read_audio(examples_dir / "speech_en_8k.flac")[0]


def test_a_call_gets_its_top_back(enhancer, examples_dir, call):
    reference, _ = read_audio(examples_dir / "speech_en_48k.flac")
    out, rate = enhancer.enhance(call, 8000)
    assert rate == 48000
    plain = resample(call, 8000, 48000)
    samples = min(reference.shape[1], out.shape[1])
    reference, out, plain = (x[:, :samples] for x in (reference, out, plain))
    assert lsd(reference, out) < 0.5 * lsd(reference, plain)


def test_full_fidelity_costs_the_waveform_little(examples_dir, call):
    reference, _ = read_audio(examples_dir / "speech_en_48k.flac")
    out, _ = Enhancer(device="cpu", threads=1, fidelity=1.0).enhance(call, 8000)
    plain = resample(call, 8000, 48000)
    samples = min(reference.shape[1], out.shape[1])
    reference, out, plain = (x[:, :samples] for x in (reference, out, plain))
    assert snr_db(reference, out) > snr_db(reference, plain) - 1


@pytest.mark.parametrize(
    "sample_rate", [1000, 8000, 11025, 16000, 22050, 32000, 44100, 96000, 384000]
)
def test_any_rate_gives_the_promised_length(enhancer, rng, sample_rate):
    samples = 0.1 * rng.standard_normal(sample_rate // 2)
    out, rate = enhancer.enhance(samples, sample_rate, cutoff_hz=0.4 * sample_rate)
    assert rate == default_output_rate(sample_rate)
    assert out.shape == (resampled_length(samples.size, sample_rate, rate),)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("rate_in", "rate_out"),
    [(8000, 48000), (11025, 44100), (22050, 44100), (16000, 48000), (44100, 44100), (96000, 96000)],
)
def test_the_default_rate_suits_the_input(rate_in, rate_out):
    assert default_output_rate(rate_in) == rate_out


def test_shape_follows_the_input(enhancer, call):
    mono, _ = enhancer.enhance(call[0, :4000], 8000)
    stereo, _ = enhancer.enhance(np.repeat(call[:, :4000], 2, axis=0), 8000)
    assert mono.ndim == 1
    assert stereo.shape == (2, mono.size)
    np.testing.assert_allclose(stereo[0], stereo[1], atol=1e-7)
    np.testing.assert_allclose(stereo[0], mono, atol=1e-5)


def test_32_channels_are_enhanced(enhancer, call):
    out, _ = enhancer.enhance(np.repeat(call[:, :2000], 32, axis=0), 8000, cutoff_hz=3700)
    assert out.shape == (32, 12000)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float64])
def test_integers_are_full_scale(enhancer, call, dtype):
    clip = call[:, 4000:12000]
    if dtype == np.uint8:
        samples = np.round(clip * 128 + 128).astype(np.uint8)
        plain = (samples.astype(np.float32) - 128) / 128
    elif dtype == np.float64:
        samples, plain = clip.astype(np.float64), clip
    else:
        full = -float(np.iinfo(dtype).min)
        samples = np.round(clip.astype(np.float64) * full).astype(dtype)
        plain = (samples / full).astype(np.float32)
    out, _ = enhancer.enhance(samples, 8000, cutoff_hz=3700)
    wanted, _ = enhancer.enhance(plain, 8000, cutoff_hz=3700)
    np.testing.assert_allclose(out, wanted, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 17])
def test_almost_nothing_is_no_problem(enhancer, samples):
    out, _ = enhancer.enhance(np.full(samples, 0.1), 8000)
    assert out.shape == (6 * samples,)


def test_silence_and_full_band_come_back_as_they_were(enhancer, rng):
    silence = np.zeros((2, 48000), np.float32)
    np.testing.assert_array_equal(enhancer.enhance(silence, 48000)[0], silence)
    noise = (0.1 * rng.standard_normal((1, 96000))).astype(np.float32)
    np.testing.assert_array_equal(enhancer.enhance(noise, 48000)[0], noise)
    assert enhancer.plan([noise], 48000).warning == "full band already"
    assert enhancer.plan([silence], 48000).warning == "silent"


@pytest.mark.parametrize("signal", ["dc", "clipped"])
def test_strange_signals_stay_finite(enhancer, call, signal):
    samples = np.full((1, 8000), 0.7) if signal == "dc" else np.clip(50 * call, -1, 1)
    out, _ = enhancer.enhance(samples, 8000)
    assert np.isfinite(out).all()
    assert np.abs(out).max() < 4


@pytest.mark.parametrize(
    ("samples", "rate", "options", "message"),
    [
        ([0.0, np.nan], 8000, {}, "NaN"),
        ([0.0, np.inf], 8000, {}, "infinite"),
        ([], 8000, {}, "empty"),
        (np.zeros((2, 0)), 8000, {}, "empty"),
        ([[0.0], [0.0, 1.0]], 8000, {}, "not an array"),
        ("call.wav", 8000, {}, "'call.wav', a name"),
        (np.zeros((2, 2, 2)), 8000, {}, "shape"),
        (np.zeros((1000, 2)), 8000, {}, "channels first"),
        (np.zeros((40, 2)), 8000, {}, "channels first"),
        (np.zeros(10, complex), 8000, {}, "complex"),
        (np.zeros(10), 999, {}, "999"),
        (np.zeros(10), 400000, {}, "400000"),
        (np.zeros(10), 8000.5, {}, "whole number"),
        (np.zeros(10), "8000", {}, "sample rate must be a number, not '8000'"),
        (np.zeros(10), 8000, {"output_rate": "48k"}, "output rate must be a number, not '48k'"),
        (np.zeros(10), 8000, {"output_rate": 500}, "500"),
        (np.zeros(10), 8000, {"cutoff_hz": 5000}, "5000"),
        (np.zeros(10), 8000, {"cutoff_hz": -1}, "-1"),
        (
            np.zeros(10),
            8000,
            {"cutoff_hz": "4k"},
            "cutoff_hz must be a number or 'guess', not '4k'",
        ),
    ],
)
def test_impossible_input_is_named(enhancer, samples, rate, options, message):
    for use in (enhancer.enhance, enhancer.plan):
        with pytest.raises(InvalidInputError, match=message):
            use(samples, rate, **options)


def test_a_whole_rate_may_be_a_float(enhancer, call):
    samples, rate = enhancer.enhance(call[0, :4000], 8000.0, output_rate=np.float64(16000))
    assert (samples.size, rate, type(rate)) == (8000, 16000, int)


def test_a_result_says_what_was_done(enhancer, call):
    result = enhancer.enhance(call, 8000)
    samples, rate = result
    assert result.samples is samples
    report = result.report
    assert (report.output_rate, report.channels, report.changed) == (rate, 1, True)
    assert report.cutoff == enhancer.plan(call, 8000).cutoff
    assert report.duration_s == call.shape[1] / 8000
    assert "8 -> 48 kHz, cutoff 3." in str(report)
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert pickle.loads(pickle.dumps(result)).report == report


def test_a_plan_takes_arrays_and_blocks(enhancer, call):
    plans = [
        enhancer.plan(samples, 8000)
        for samples in (call, call[0], call[0].tolist(), [call[:, :9000], call[:, 9000:]])
    ]
    assert all(plan == plans[0] for plan in plans)


def test_an_enhancer_survives_pickle(call):
    enhancer = Enhancer("speech", device="cpu", threads=1, fidelity=0.3, strength_db=-3)
    twin = pickle.loads(pickle.dumps(enhancer))
    wanted, _ = enhancer.enhance(call[:, :8000], 8000, cutoff_hz=3700)
    np.testing.assert_array_equal(twin.enhance(call[:, :8000], 8000, cutoff_hz=3700)[0], wanted)


def test_a_file_gives_what_its_array_gives(enhancer, examples_dir, tmp_path, call):
    destination = tmp_path / "out.wav"
    fractions = []
    report = enhancer.enhance_file(
        examples_dir / "speech_en_8k.flac",
        destination,
        subtype="FLOAT",
        progress=fractions.append,
    )
    out, rate = read_audio(destination)
    wanted, _ = enhancer.enhance(call, 8000)
    assert rate == report.output_rate == 48000
    np.testing.assert_allclose(out, wanted, atol=1e-6)
    assert report.changed
    assert not report.cutoff_given
    assert report.cutoff.cutoff_hz == pytest.approx(3800, rel=0.08)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_the_detected_cutoff_can_be_overridden(enhancer, examples_dir, tmp_path):
    report = enhancer.enhance_file(
        examples_dir / "speech_en_48k.flac", tmp_path / "out.flac", cutoff_hz=4000
    )
    assert report.cutoff_given
    assert report.cutoff.cutoff_hz == 4000
    before, rate = read_audio(examples_dir / "speech_en_48k.flac")
    after, _ = read_audio(tmp_path / "out.flac")
    assert after.shape == before.shape
    assert lsd(before, after, sample_rate=rate, band_hz=(0, 3700)) < 0.05
    assert lsd(before, after, sample_rate=rate, band_hz=(4500, 24000)) > 0.3


def test_a_full_band_file_is_copied_exactly(enhancer, examples_dir, tmp_path):
    source = examples_dir / "speech_en_48k.flac"
    report = enhancer.enhance_file(source, tmp_path / "out.flac")
    assert not report.changed
    assert report.warning
    np.testing.assert_array_equal(read_audio(tmp_path / "out.flac")[0], read_audio(source)[0])


def test_eight_bit_sources_get_room_for_the_top(enhancer, tmp_path, call):
    sf.write(tmp_path / "old.wav", call[0], 8000, subtype="PCM_U8")
    enhancer.enhance_file(tmp_path / "old.wav", tmp_path / "new.wav")
    assert probe(tmp_path / "new.wav").subtype == "PCM_16"


@pytest.mark.parametrize("damage", ["nan", "cut"])
def test_a_damaged_file_leaves_nothing_behind(enhancer, tmp_path, call, damage):
    source = tmp_path / "bad.wav"
    samples = np.tile(call[0], 3)
    if damage == "nan":
        samples[-5] = np.nan
    sf.write(source, samples, 8000, subtype="FLOAT")
    if damage == "cut":
        source.write_bytes(source.read_bytes()[:-20000])
    with pytest.raises(AudioFileError, match=r"bad\.wav"):
        enhancer.enhance_file(source, tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.wav"]


def test_the_public_door(call):
    out, rate = overtone.enhance(call[0, :4000], 8000, cutoff_hz=3700)
    assert (out.size, rate) == (24000, 48000)
    assert overtone.load_model("speech").info in overtone.list_models()
    assert set(overtone.__all__) <= set(dir(overtone))


def test_fidelity_goes_from_the_natural_top_to_the_least_error(examples_dir, call):
    reference, _ = read_audio(examples_dir / "speech_en_48k.flac")
    plain = resample(call, 8000, 48000)
    samples = min(reference.shape[1], plain.shape[1])
    reference, plain = reference[:, :samples], plain[:, :samples]
    distance, ratio_db = [], []
    for fidelity in (0.0, 0.5, 1.0):
        out, _ = overtone.enhance(call, 8000, fidelity=fidelity, device="cpu")
        distance.append(lsd(reference, out[:, :samples]))
        ratio_db.append(snr_db(reference, out[:, :samples]))
    assert distance == sorted(distance)
    assert ratio_db == sorted(ratio_db)
    # What cannot be predicted is left out at the faithful end, so it costs nothing.
    assert ratio_db[-1] > snr_db(reference, plain) - 0.1


def test_a_stream_is_as_faithful_as_it_is_asked_to_be(call):
    wanted, _ = overtone.enhance(call, 8000, cutoff_hz=3900, fidelity=0.7, device="cpu")
    enhancer = Enhancer(device="cpu", threads=1, fidelity=0.7)
    plan = enhancer.plan([call], 8000, cutoff_hz=3900)
    stream = overtone.StreamEnhancer(8000, 1, plan=plan, enhancer=enhancer)
    blocks = [stream.push(call[:, start : start + 997]) for start in range(0, call.shape[1], 997)]
    found = np.concatenate([*blocks, stream.flush()], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("fidelity", [-0.1, 1.5, float("nan")])
def test_an_impossible_fidelity_is_refused(fidelity):
    with pytest.raises(InvalidInputError, match="fidelity must be within 0 to 1"):
        Enhancer(fidelity=fidelity)


def test_a_model_of_one_answer_refuses_a_fidelity():
    with pytest.raises(InvalidInputError, match="'tfilm-speech-x4' gives one answer"):
        Enhancer("tfilm-speech-x4", fidelity=0.5)


def test_file_objects_are_enhanced_like_files(enhancer, examples_dir, tmp_path):
    source, path, stream = examples_dir / "speech_en_8k.flac", tmp_path / "a.flac", io.BytesIO()
    enhancer.enhance_file(source, path)
    with source.open("rb") as file:
        report = enhancer.enhance_file(file, stream, file_format="flac")
    assert stream.getvalue() == path.read_bytes()
    assert report.source == str(source)


def chords(rate: int) -> np.ndarray:
    """Six seconds of plucked chords."""
    time_s = np.arange(int(0.4 * rate)) / rate
    roots = 220 * 2 ** (np.array([0, 5, 7, 3, 8, 0, 10, 5, 7, 2, 0, 3, 5, 7, 0]) / 12)
    partials = np.arange(1, 7)[:, None] * np.array([1, 1.26, 1.5])[:, None, None]
    decay = np.exp(-3 * time_s)
    return 0.05 * np.concatenate(
        [(np.sin(2 * np.pi * root * partials * time_s) * decay).sum((0, 1)) for root in roots]
    )


def test_auto_takes_the_music_model_for_music_alone(call):
    enhancer = Enhancer("auto")
    music, speech = enhancer.enhance(chords(16000), 16000), enhancer.enhance(call, 8000)
    assert (music.report.model, speech.report.model) == ("music", "speech")
    assert music.report.speech < 0.3 < 0.7 < speech.report.speech
    assert "model music (music, " in str(music.report)
    assert np.array_equal(music.samples, Enhancer("music").enhance(chords(16000), 16000).samples)
    assert np.array_equal(speech.samples, Enhancer("speech").enhance(call, 8000).samples)


def test_a_model_that_was_chosen_says_nothing_of_the_content(call):
    assert Enhancer("speech").enhance(call, 8000).report.speech is None


def test_what_cannot_be_told_is_taken_for_speech(rng):
    report = Enhancer("auto").enhance(0.1 * rng.standard_normal(2000), 16000, cutoff_hz=4000).report
    assert (report.model, report.speech) == ("speech", 0.5)
    assert "speech or music, unsure" in str(report)
