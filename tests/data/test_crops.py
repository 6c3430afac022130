"""Training examples: drawn from the step alone, degraded above the cutoff and nowhere below."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from overtone.data.corpora import Corpus, SampleStore
from overtone.data.crops import CropSampler
from overtone.degrade.augment import DegradeConfig
from overtone.errors import ConfigError

RATE = 48000
CROP = 12000
BANDWIDTHS_HZ = (24000.0, 7000.0)


@pytest.fixture(scope="module")
def corpora():
    return [
        Corpus(name="wide", path="wide", bandwidth_hz=BANDWIDTHS_HZ[0], license="CC0"),
        Corpus(name="narrow", path="narrow", bandwidth_hz=BANDWIDTHS_HZ[1], weight=3, license="-"),
    ]


@pytest.fixture(scope="module")
def store(corpora, tmp_path_factory):
    """Noise of two seconds and of a quarter: shorter than a crop, and hardly ever drawn."""
    rng = np.random.default_rng(1)
    root = tmp_path_factory.mktemp("crops")
    for corpus in corpora:
        (root / corpus.path).mkdir()
        for name, seconds in (("a", 2.0), ("b", 0.2), ("c", 1.0)):
            noise = 0.1 * rng.standard_normal(round(seconds * RATE))
            soundfile.write(root / corpus.path / f"{name}.wav", noise, RATE)
    return SampleStore.build(root / "cache", corpora, root, RATE)


@pytest.fixture
def sampler(store, corpora):
    def make(seed=7, degrade=None, **settings):
        return CropSampler(
            store,
            corpora,
            degrade or DegradeConfig(**settings),
            sample_rate=RATE,
            crop_samples=CROP,
            seed=seed,
        )

    return make


def arrays(batch):
    return batch.clean, batch.low, batch.cutoff_hz, batch.bandwidth_hz


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def power(samples):
    """Power spectra ``[batch, bins]``; a window keeps the crop's ends from smearing."""
    return np.abs(np.fft.rfft(samples * np.hanning(CROP))) ** 2


def fills_its_crop(clean):
    """Which crops are not of the short file, and so do not end in silence."""
    return np.abs(clean[:, -1000:]).max(axis=1) > 1e-3 * np.abs(clean).max(axis=1)


FREQUENCIES_HZ = np.fft.rfftfreq(CROP, 1 / RATE)


def test_shapes_and_types(sampler):
    batch = sampler().batch(0, range(5))
    assert batch.clean.shape == batch.low.shape == (5, CROP)
    assert batch.cutoff_hz.shape == batch.bandwidth_hz.shape == (5,)
    assert {array.dtype for array in arrays(batch)} == {np.dtype(np.float32)}


def test_a_step_gives_the_same_batch_whatever_came_before(sampler):
    one, other = sampler(), sampler()
    wanted = one.batch(5, range(4))
    for step in (2, 9, 4):
        other.batch(step, range(3))
    assert same(other.batch(5, range(4)), wanted)
    assert same(one.batch(5, range(4)), wanted)


def test_steps_and_seeds_differ(sampler):
    batches = [sampler().batch(step, range(4)) for step in range(4)] + [
        sampler(seed=8).batch(0, range(4))
    ]
    for one, other in pairwise(batches):
        assert not np.array_equal(one.clean, other.clean)
        assert not np.array_equal(one.cutoff_hz, other.cutoff_hz)
    assert len(np.unique(np.concatenate([batch.cutoff_hz for batch in batches]))) == 20


def test_corpora_are_drawn_by_their_weights_and_bring_their_bandwidths(sampler):
    bandwidths = sampler(bandwidth_jitter=0.0).batch(0, range(400)).bandwidth_hz
    assert set(bandwidths) == set(BANDWIDTHS_HZ)
    # 3 to 1, with 3 standard deviations of a binomial of 400 either way.
    assert 0.68 < np.mean(bandwidths == 7000) < 0.82


def test_no_bandwidth_exceeds_the_nyquist_frequency(store, corpora):
    wide = [corpora[0].model_copy(update={"bandwidth_hz": 48000.0}), corpora[1]]
    sampler = CropSampler(store, wide, DegradeConfig(), sample_rate=RATE, crop_samples=CROP, seed=0)
    assert sampler.batch(0, range(50)).bandwidth_hz.max() == RATE / 2


def test_no_corpus_ends_at_a_fixed_place(sampler):
    bandwidths = sampler(bandwidth_jitter=0.3).batch(0, range(300)).bandwidth_hz
    narrow = bandwidths[bandwidths != 24000] / 7000
    assert 0.7 <= narrow.min() < 0.73
    assert 0.97 < narrow.max() <= 1
    # The one that reaches the Nyquist frequency has no edge.
    assert np.mean(bandwidths == 24000) > 0.15


def test_cutoffs_stay_in_range_and_leave_something_to_predict(sampler):
    config = DegradeConfig(cutoff_jitter=0)
    batch = sampler(degrade=config).batch(3, range(400))
    assert batch.cutoff_hz.min() >= config.min_cutoff_hz
    assert batch.cutoff_hz.max() <= config.max_cutoff_hz
    top = np.minimum(config.max_cutoff_hz, 0.75 * batch.bandwidth_hz)
    assert (batch.cutoff_hz <= top + 1).all()
    assert np.median(batch.cutoff_hz / batch.bandwidth_hz) < 0.75


def test_the_cutoff_that_is_told_errs_by_the_jitter_alone(sampler):
    told = sampler(cutoff_jitter=0.1).batch(3, range(200)).cutoff_hz
    true = sampler(cutoff_jitter=0.0).batch(3, range(200)).cutoff_hz
    free = (told > 1000) & (told < 14000) & (true > 1000) & (true < 14000)
    error = told[free] / true[free] - 1
    assert 0.05 < np.abs(error).max() <= 0.1001


@pytest.mark.parametrize("min_cutoff_hz", [1000.0, 12000.0])
def test_the_low_pass_is_6_db_down_at_the_cutoff_that_is_told(store, corpora, min_cutoff_hz):
    """Also for gentle filters at the top of the range, whose nominal edge lies far below."""
    config = DegradeConfig(
        min_cutoff_hz=min_cutoff_hz, cutoff_jitter=0, noise_prob=0, common_prob=0, eq_db=0
    )
    wide = [corpora[0], corpora[0].model_copy(update={"weight": 1e-9})]
    sampler = CropSampler(store, wide, config, sample_rate=RATE, crop_samples=CROP, seed=5)
    batch = sampler.batch(0, range(60))
    clean, low = power(batch.clean), power(batch.low)
    for item, cutoff_hz in enumerate(batch.cutoff_hz):
        relative = FREQUENCIES_HZ / cutoff_hz
        under, over = (relative > 0.95) & (relative < 0.99), (relative > 1.01) & (relative < 1.05)
        change_db = [
            10 * np.log10(low[item, x].sum() / clean[item, x].sum()) for x in (under, over)
        ]
        assert change_db[0] > -7.5
        assert change_db[1] < -5.5


def test_low_is_clean_below_the_cutoff_and_empty_far_above(sampler):
    batch = sampler(cutoff_jitter=0.0, noise_prob=0.0).batch(1, range(60))
    clean, low, difference = (power(x) for x in (batch.clean, batch.low, batch.clean - batch.low))
    changed = []
    for item, cutoff_hz in enumerate(batch.cutoff_hz):
        relative = FREQUENCIES_HZ / cutoff_hz
        kept, gone = relative < 0.25, relative > 3
        changed.append(difference[item, kept].sum() / clean[item, kept].sum())
        if gone.any():
            assert low[item, gone].sum() < 1e-3 * clean[item, gone].sum()
    # Bessel filters begin to fall early; the others leave this band alone.
    assert max(changed) < 0.06
    assert np.median(changed) < 1e-3


def test_levels_span_the_range_and_no_more(sampler):
    quiet = {"eq_db": 0.0, "noise_prob": 0.0}
    batch = sampler(min_gain_db=-20.0, max_gain_db=-20.0, level_rms=0.5, **quiet).batch(
        0, range(20)
    )
    level = np.sqrt(np.mean(batch.clean[fills_its_crop(batch.clean)] ** 2, axis=1))
    assert np.allclose(level, 0.05, rtol=0.05)


def test_noise_lies_as_far_under_the_recording_as_it_says(sampler):
    noisy = {"noise_prob": 1.0, "min_noise_db": -30.0, "max_noise_db": -30.0, "eq_db": 0.0}
    with_noise = sampler(**noisy).batch(0, range(8))
    without = sampler(**noisy | {"noise_prob": 0.0}).batch(0, range(8))
    # The draws before the noise are the same, so what is left is the noise.
    noise = with_noise.clean - without.clean
    level_db = 20 * np.log10(noise.std(axis=1) / without.clean.std(axis=1))
    # Against the active level, which is a little over the mean one.
    assert np.allclose(level_db[fills_its_crop(without.clean)], -30, atol=0.5)


def test_the_floor_goes_on_above_the_cutoff_in_the_target_alone(sampler):
    noisy = {"noise_prob": 1.0, "min_noise_db": -30.0, "max_noise_db": -30.0, "eq_db": 0.0}
    with_noise = sampler(**noisy).batch(0, range(30))
    without = sampler(**noisy | {"noise_prob": 0.0}).batch(0, range(30))
    clean, low = (power(getattr(with_noise, x) - getattr(without, x)) for x in ("clean", "low"))
    for item, cutoff_hz in enumerate(with_noise.cutoff_hz):
        relative = FREQUENCIES_HZ / cutoff_hz
        under, over = relative < 0.25, relative > 3
        assert low[item, under].sum() == pytest.approx(clean[item, under].sum(), rel=0.2)
        if over.any():
            assert clean[item, over].mean() == pytest.approx(clean[item, under].mean(), rel=0.5)
            assert low[item, over].mean() < 1e-3 * clean[item, over].mean()


def test_a_sloping_floor_falls_with_frequency_at_the_same_level(sampler):
    noisy = {"noise_prob": 1.0, "min_noise_db": -30.0, "max_noise_db": -30.0, "eq_db": 0.0}
    without = sampler(**noisy | {"noise_prob": 0.0}).batch(0, range(30)).clean
    noise = sampler(**noisy, max_noise_slope_db=6.0).batch(0, range(30)).clean - without
    level_db = 20 * np.log10(noise.std(axis=1) / without.std(axis=1))
    assert np.allclose(level_db[fills_its_crop(without)], -30, atol=1.5)
    octaves = power(noise) @ [(hz > 4000) & (hz < 8000) for hz in FREQUENCIES_HZ]
    octaves = octaves / (power(noise) @ [(hz > 8000) & (hz < 16000) for hz in FREQUENCIES_HZ])
    # White noise has 3 dB less in the lower one; at 6 dB an octave it has 3 dB more.
    fall_db = 10 * np.log10(octaves) + 3
    assert fall_db.min() > -0.5
    assert fall_db.max() < 6.5
    assert fall_db.max() - fall_db.min() > 3


def test_a_lossy_codec_touches_the_input_alone(sampler):
    plain = sampler().batch(0, range(20))
    coded = sampler(codec_prob=0.5).batch(0, range(20))
    assert np.array_equal(plain.clean, coded.clean)
    assert np.array_equal(plain.cutoff_hz, coded.cutoff_hz)
    error = np.square(coded.low - plain.low).mean(axis=1) / np.square(plain.low).mean(axis=1)
    touched = error > 0
    assert 0.2 < touched.mean() < 0.8
    assert error[touched].min() > 1e-4
    assert error.max() < 1


def band_change_db(batch, low_part, high_part):
    """By how much the input lies over the clean one between two parts of the given cutoff."""
    clean, low = power(batch.clean), power(batch.low)
    relative = FREQUENCIES_HZ / batch.cutoff_hz[:, None]
    inside = (relative > low_part) & (relative < high_part)
    return 10 * np.log10((low * inside).sum(axis=1) / (clean * inside).sum(axis=1))


def test_a_droop_falls_towards_the_edge_and_the_target_stays(sampler):
    exact = {"cutoff_jitter": 0.0, "noise_prob": 0.0}
    plain = sampler(**exact).batch(0, range(60))
    drooped = sampler(**exact, droop_prob=1.0, max_droop_db=12.0).batch(0, range(60))
    assert np.array_equal(plain.clean, drooped.clean)
    assert np.array_equal(plain.cutoff_hz, drooped.cutoff_hz)
    whole = fills_its_crop(plain.clean)
    near, far = (
        (band_change_db(drooped, *part) - band_change_db(plain, *part))[whole]
        for part in ((0.85, 0.9), (0.05, 0.1))
    )
    # Up to 12 dB at the edge, at least linear in frequency.
    assert near.max() < 0.1
    assert near.min() > -11
    assert np.quantile(near, 0.2) < -5
    assert (far >= 0.13 * near - 0.1).all()


def test_a_lifted_slope_is_as_it_was_up_to_where_the_network_is_told_it_ends(sampler):
    exact = {"cutoff_jitter": 0.0, "noise_prob": 0.0}
    plain = sampler(**exact).batch(0, range(100))
    lifted = sampler(**exact, compensation_prob=1.0).batch(0, range(100))
    assert np.array_equal(plain.clean, lifted.clean)
    told = lifted.cutoff_hz / plain.cutoff_hz
    assert told.min() > 1 - 1e-6
    assert told.max() < 2
    moved = (told > 1.1) & (lifted.cutoff_hz < 14000)  # above, it is told the highest it knows
    assert 0.1 < moved.mean() < 0.9  # steep filters hardly have a slope
    assert np.abs(band_change_db(lifted, 0.6, 0.95)[moved]).max() < 0.5
    assert band_change_db(lifted, 1.05, 1.2)[moved].max() < -0.5


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A corpus of one tone at 3 kHz that is good up to 7 kHz."""
    root = tmp_path_factory.mktemp("tones")
    tone = 0.1 * np.sin(2 * np.pi * 3000 / RATE * np.arange(2 * RATE))
    for name in "ab":
        soundfile.write(root / f"{name}.wav", tone, RATE)
    corpora = [Corpus(name="tones", path=".", bandwidth_hz=7000, license="CC0", glob="*.wav")]
    store = SampleStore.build(root / "cache", corpora, root, RATE)

    def batch(**settings):
        quiet = {"noise_prob": 0.0, "eq_db": 0.0, "min_gain_db": 0.0, "max_gain_db": 0.0}
        config = DegradeConfig(**quiet, **settings)
        sampler = CropSampler(store, corpora, config, sample_rate=RATE, crop_samples=CROP, seed=3)
        return sampler.batch(0, range(60))

    return batch


def test_speed_moves_pitch_and_bandwidth_together_and_not_the_level(tones):
    batch = tones(speed_prob=1.0, max_speed=1.25, bandwidth_jitter=0.0)
    speed = batch.bandwidth_hz / 7000
    assert 0.8 * 0.999 <= speed.min() < 0.84
    assert 1.2 < speed.max() <= 1.25 * 1.001
    peak_hz = FREQUENCIES_HZ[power(batch.clean).argmax(axis=1)]
    assert np.allclose(peak_hz, 3000 * speed, atol=RATE / CROP)
    level = batch.clean[:, 1000:-1000].std(axis=1)
    assert np.allclose(level, 0.05, rtol=0.03)
    # The tone is one: nothing of it lies elsewhere.
    inner = batch.clean[:, 1000:-1000] * np.blackman(CROP - 2000)
    spectrum = np.abs(np.fft.rfft(inner)) ** 2
    hz = np.fft.rfftfreq(CROP - 2000, 1 / RATE)
    far = np.abs(hz - 3000 * speed[:, None]) > 100
    assert ((spectrum * far).sum(axis=1) < 1e-4 * spectrum.sum(axis=1)).all()


def test_some_are_played_at_their_own_speed(tones):
    speed = tones(speed_prob=0.5, bandwidth_jitter=0.0).bandwidth_hz / 7000
    assert 0.3 < np.mean(speed == 1) < 0.7


def test_files_are_drawn_by_their_length(sampler):
    clean = sampler(noise_prob=0.0, eq_db=0.0).batch(0, range(300)).clean
    assert 0.03 < 1 - fills_its_crop(clean).mean() < 0.17  # 0.2 s of 2.2 s: the rest is held out


def test_crops_come_from_all_over_a_file(sampler):
    clean = sampler(noise_prob=0.0, eq_db=0.0).batch(0, range(30)).clean
    clean = clean[fills_its_crop(clean)]  # the short file has but one
    shapes = np.round(clean[:, 4000:4020] / clean.std(axis=1, keepdims=True), 3)
    assert len(np.unique(shapes, axis=0)) == len(clean) > 20


def test_a_corpus_without_usable_training_files_is_named(store, corpora):
    class Emptied:
        def select(self, number, split):
            return [] if number == 1 else store.select(number, split)

    with pytest.raises(ConfigError, match=r"'narrow': none of its train recordings"):
        CropSampler(
            Emptied(), corpora, DegradeConfig(), sample_rate=RATE, crop_samples=CROP, seed=0
        )


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"min_cutoff_hz": 15000.0}, "min_cutoff_hz must be at most max_cutoff_hz"),
        ({"min_gain_db": 20.0}, "min_gain_db"),
        ({"min_noise_db": 0.0}, "min_noise_db"),
        ({"common_prob": 1.5}, "common_prob"),
        ({"level_rms": 0.0}, "level_rms"),
        ({"noise": 1.0}, "noise"),
        ({"bandwidth_jitter": 1.0}, "bandwidth_jitter"),
        ({"max_speed": 0.9}, "max_speed"),
        ({"droop_prob": 2.0}, "droop_prob"),
        ({"max_compensation_db": 3.0}, "max_compensation_db"),
        ({"min_codec_fall_db": 2.0}, "min_codec_fall_db must be at most max_codec_fall_db"),
    ],
)
def test_impossible_ranges_are_refused(setting, named):
    with pytest.raises(ValidationError, match=named):
        DegradeConfig(**setting)
