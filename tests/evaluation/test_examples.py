"""Examples are what they are called, every recording's own, and overwrite nothing."""

import numpy as np
import pytest
import soundfile

from overtone.audio.reader import read_audio
from overtone.degrade.spline import decimate, interpolate
from overtone.errors import AudioFileError, InvalidInputError
from overtone.evaluation import examples
from overtone.evaluation.examples import Recording, find_recordings, make_signals, write_example
from overtone.evaluation.systems import System, find_bare_system
from overtone.metrics import kuleshov_lsd, kuleshov_snr_db


@pytest.fixture
def corpus(tmp_path, make_noise):
    """Three recordings: two mono, one stereo in a subfolder."""
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    for name, rate, channels in (("a", 8000, 1), ("b", 22050, 1), ("sub/a", 48000, 2)):
        noise = make_noise(rate, 0.1, channels=channels)[:, :-3]
        soundfile.write(folder / f"{name}.wav", noise.T, rate, subtype="FLOAT")
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn, and nothing is."""
    pictures = []

    def draw(named_signals, paths, **options):
        pictures.append((named_signals, paths, options))
        for path in paths:
            path.write_text("picture")

    monkeypatch.setattr(examples, "plot_spectrograms", draw)
    return pictures


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.mark.parametrize(("rate", "scale"), [(8000, 2), (22050, 4), (44100, 7)])
@pytest.mark.parametrize("channels", [1, 2])
def test_signals_are_those_of_kuleshovs_protocol(make_noise, rate, scale, channels):
    high = make_noise(rate, 0.1, channels=channels)
    kept = high.shape[1] // scale * scale
    system = System("doubled", "", lambda base, *_: 2 * base, takes_spline=True)
    signals = make_signals(high, rate, system, scale)
    assert np.array_equal(signals["gt"], high[:, :kept])
    assert np.array_equal(signals["low_res"], decimate(high[:, :kept], scale))
    assert np.array_equal(signals["base"], interpolate(signals["low_res"], scale))
    assert np.array_equal(signals["super"], 2 * signals["base"])
    assert signals["low_res"].shape[1] * scale == kept


@pytest.mark.parametrize(
    ("name", "rate", "low_rate"), [("a", None, 2000), ("b", None, 5512), ("sub/a", 16000, 4000)]
)
def test_the_files_hold_the_signals(corpus, tmp_path, drawn, name, rate, low_rate):
    recording = Recording(corpus / f"{name}.wav", tmp_path / "out" / name)
    line = write_example(recording, find_bare_system("soxr"), scale=4, rate=rate)
    assert names(tmp_path / "out") == sorted(
        [f"{name}{end}" for end in (".pdf", ".png")]
        + [f"{name}_{end}.wav" for end in ("gt", "low_res", "base", "super")]
    )
    files = {end: soundfile.read(recording.wav(end), always_2d=True) for end in examples.SIGNALS}
    full, full_rate = files["gt"]
    assert full_rate == (rate or soundfile.info(recording.source).samplerate)
    assert {files[end][0].shape for end in ("base", "super")} == {full.shape}
    low, written_rate = files["low_res"]
    assert written_rate == low_rate
    assert np.allclose(interpolate(low.T, 4), files["base"][0].T, atol=1e-6)
    assert ("WAV rates are whole" in line) == (name == "b")
    ((panels, paths, options),) = drawn
    assert len(panels) == 4
    assert paths == recording.pictures
    assert options["cutoff_hz"] == full_rate / 8


def test_what_is_too_loud_for_a_wav_is_counted(corpus, tmp_path, drawn):
    loud = System("loud", "", lambda base, *_: base + 2, takes_spline=True)
    recording = Recording(corpus / "a.wav", tmp_path / "a")
    line = write_example(recording, loud, scale=4)
    assert line.endswith(f"loud, {soundfile.info(recording.wav('super')).frames} samples clipped")


def test_what_does_not_fit_is_told_and_leaves_nothing(corpus, tmp_path, drawn):
    recording = Recording(corpus / "a.wav", tmp_path / "out" / "a")
    with pytest.raises(InvalidInputError, match=r"a\.wav: at 8000 Hz it holds nothing above 4000"):
        write_example(recording, find_bare_system("soxr"), scale=4, rate=16000)
    soundfile.write(corpus / "a.wav", np.zeros(20), 8000)
    with pytest.raises(InvalidInputError, match="20 samples are too few"):
        write_example(recording, find_bare_system("soxr"), scale=4)
    (corpus / "a.wav").write_text("not audio")
    with pytest.raises(AudioFileError, match=r"a\.wav"):
        write_example(recording, find_bare_system("soxr"), scale=4)
    assert not (tmp_path / "out").exists()


class TestFinding:
    def test_folders_files_and_lists_mean_the_same_recordings(self, corpus, tmp_path):
        (tmp_path / "list.txt").write_text("a.wav\n\nb.wav\nsub/a.wav\na.wav\n")
        out = tmp_path / "out"
        stems = [out / "a", out / "b", out / "sub" / "a"]
        for arguments in ([str(corpus)], [str(tmp_path / "list.txt"), str(corpus / "b.wav")]):
            found, problems = find_recordings(arguments, out, in_dir=corpus)
            assert not problems
            assert [recording.stem for recording in found] == stems

    def test_what_is_missing_is_named_once_and_the_rest_found(self, corpus, tmp_path):
        (tmp_path / "list.txt").write_text("a.wav\nnope.wav\nnope.wav\n")
        (tmp_path / "notes.md").write_text("text")
        arguments = [str(tmp_path / name) for name in ("list.txt", "notes.md", "nowhere")]
        found, problems = find_recordings(arguments, tmp_path / "out", in_dir=corpus)
        assert [recording.source.name for recording in found] == ["a.wav"]
        assert len(problems) == 3
        assert "nope.wav: no such file, named in" in problems[0]
        assert "notes.md: neither audio nor a list" in problems[1]
        assert "nowhere: no such file" in problems[2]

    def test_a_list_that_cannot_be_read_is_refused(self, tmp_path):
        with pytest.raises(InvalidInputError, match=r"list\.txt: cannot be read"):
            find_recordings([str(tmp_path / "list.txt")], tmp_path)

    def test_nothing_is_overwritten_unless_asked(self, corpus, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "b_super.wav").write_text("old")
        with pytest.raises(InvalidInputError, match=r"b_super\.wav: already exists"):
            find_recordings([str(corpus)], out)
        assert len(find_recordings([str(corpus)], out, overwrite=True)[0]) == 3

    def test_recordings_are_never_written_over(self, corpus, tmp_path):
        (corpus / "a_gt.wav").write_bytes((corpus / "a.wav").read_bytes())
        both = [str(corpus / "a.wav"), str(corpus / "a_gt.wav")]
        with pytest.raises(InvalidInputError, match=r"a_gt\.wav: is a recording to read"):
            find_recordings(both, corpus, overwrite=True)

    def test_two_recordings_of_one_name_are_refused(self, corpus, tmp_path):
        arguments = [str(corpus / "a.wav"), str(corpus / "sub" / "a.wav")]
        with pytest.raises(InvalidInputError, match=r"a\.wav and .*a\.wav would both be written"):
            find_recordings(arguments, tmp_path / "out")


@pytest.mark.parametrize("domain", ["speech", "piano", "music"])
def test_the_shipped_examples_are_what_they_say(domain, examples_dir):
    """Low and spline are the reference's; the method's LSD is better; all together are small."""
    (reference,) = (examples_dir / "listen" / domain).glob("*/reference.flac")
    high, rate = read_audio(reference)
    low, low_rate = read_audio(reference.with_name("low.flac"))
    base, _ = read_audio(reference.with_name("spline.flac"))
    assert low_rate * 4 == rate
    step = 2**-15
    assert np.abs(low - decimate(high, 4)).max() <= step
    assert np.abs(base - interpolate(decimate(high, 4), 4)).max() <= step
    (method,) = reference.parent.glob("tfilm-*-x4.flac")
    found, _ = read_audio(method)
    assert kuleshov_lsd(high[0], found[0]) < kuleshov_lsd(high[0], base[0]) - 1
    assert kuleshov_snr_db(high[0], found[0]) > kuleshov_snr_db(high[0], base[0])
    assert sum(path.stat().st_size for path in reference.parent.iterdir()) < 250_000
