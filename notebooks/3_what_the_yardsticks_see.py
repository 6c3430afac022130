# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: -all
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
# ---

# %% [markdown]
# # What the yardsticks see
#
# Five numbers, six ways to fill a band, and no number that agrees with the ear about all of them.
# [Metrics](../docs/reference/metrics.md) defines each.

# %%
from pathlib import Path

import numpy as np
import soundfile
from IPython.display import Audio, display

import overtone
from overtone.dsp.resample import resample
from overtone.metrics import envelope_db, grain_db, lsd, si_sdr_db, snr_db

EXAMPLES = Path("../examples")
recording, rate = soundfile.read(EXAMPLES / "speech_en_48k.flac", dtype="float32")
LOW, CUTOFF_HZ = 8000, 4000
low = resample(recording[None], rate, LOW)
given = resample(low, LOW, rate)[0][: recording.size]

# %% [markdown]
# ## Six systems
#
# - nothing: the call as it is
# - the recording, one sample late, or with a new band that is 6 dB too soft: hardly audible
# - steady noise in place of the high band, at its mean level: a hiss that anybody hears
# - `speech`, and `speech-faithful`, which errs less and sounds blurred

# %%
high_band = recording - given
hiss = np.random.default_rng(0).standard_normal(recording.size).astype(np.float32)
spectrum = np.fft.rfft(hiss) * np.abs(np.fft.rfft(high_band))
hiss = np.fft.irfft(spectrum, recording.size)
hiss *= np.sqrt(np.mean(high_band**2) / np.mean(hiss**2))
systems = {
    "the recording": recording,
    "nothing": given,
    "one sample late": np.roll(recording, 1),
    "6 dB too soft": given + high_band / 2,
    "hiss": (given + hiss).astype(np.float32),
}
for model in ("speech", "speech-faithful"):
    out, _ = overtone.enhance(low, LOW, cutoff_hz=CUTOFF_HZ, model=model)
    systems[model] = out[0][: recording.size]

# %%
rows = {}
for name, samples in systems.items():
    rows[name] = {
        "SNR": snr_db(recording, samples),
        "SI-SDR": si_sdr_db(recording, samples),
        "LSD": lsd(recording, samples),
        "envelope": envelope_db(recording, samples, rate, CUTOFF_HZ),
        "grain": grain_db(samples, rate, CUTOFF_HZ),
    }
print(f"{'':16}" + "".join(f"{key:>10}" for key in rows["nothing"]))
for name, row in rows.items():
    print(f"{name:16}" + "".join(f"{value:10.2f}" for value in row.values()))
    display(Audio(systems[name], rate=rate))

# %% [markdown]
# ## What each of them misses
#
# - **SNR** asks for the waveform. Of a high band it can only say that it is not the same: `nothing`
#   beats both models, and a delay of a fiftieth of a millisecond costs more than losing the band.
#   It is for the kept band.
# - **LSD** asks for every bin of every frame. Grain that is as rough as nature's, but elsewhere,
#   costs more than none: the blurred model is ahead of the one that sounds better, which is hardly
#   ahead of a hiss.
# - **Envelope** forgives fine structure and asks for levels in bands and time. `6 dB too soft`
#   gives 6, which is what is wrong with it. It hears no blur.
# - **Grain** asks for roughness alone, and is compared with the recording's own. It hears blur, and
#   would be content with a hiss.
#
# So: envelope and grain together for what one hears, SNR below the cutoff for what was to be kept,
# LSD for comparing with papers; and ears.

# %%
assert rows["nothing"]["SNR"] > rows["speech"]["SNR"]
assert rows["speech-faithful"]["LSD"] < rows["speech"]["LSD"] < rows["nothing"]["LSD"]
assert abs(rows["6 dB too soft"]["envelope"] - 6) < 0.5
natural = rows["the recording"]["grain"]
assert abs(rows["speech"]["grain"] - natural) < abs(rows["speech-faithful"]["grain"] - natural)
