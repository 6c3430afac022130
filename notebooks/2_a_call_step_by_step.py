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
# # A telephone call, step by step
#
# What `overtone.enhance` does, in the order in which it does it. [The idea](../docs/guide/idea.md)
# says why.

# %%
from pathlib import Path

import numpy as np
import soundfile
from IPython.display import Audio, display

import overtone
from overtone.dsp.bandwidth import estimate_cutoff
from overtone.dsp.excitation import ExcitationConstants, Excitations
from overtone.dsp.resample import resample
from overtone.dsp.stft import StreamOverlapAdd, StreamStft, hann

EXAMPLES = Path("../examples")
call, rate = soundfile.read(EXAMPLES / "speech_en_8k.flac", dtype="float32")

# %% [markdown]
# ## 1. Where does the band end?
#
# Not at half the sample rate: filters need room. The answer has a confidence, and may be "unsure".

# %%
found = estimate_cutoff(call, rate)
print(found.verdict, f"{found.cutoff_hz:.0f} Hz, {found.confidence:.0%} sure")

# %% [markdown]
# A higher rate moves nothing:

# %%
high = resample(call[None], rate, 48000)
print(f"{estimate_cutoff(high, 48000).cutoff_hz:.0f} Hz at 48 kHz")

# %% [markdown]
# ## 2. What is to be done
#
# `Enhancer.plan` decides before the first sample is made.

# %%
enhancer = overtone.Enhancer("speech", threads=1)
plan = enhancer.plan(call, rate)
print(f"from {plan.extend_from_hz:.0f} Hz on, at {plan.output_rate} Hz")
print(f"level times {plan.gain:.2f}, so that the network meets what it was trained on")

# %% [markdown]
# ## 3. Raw material
#
# Short-time spectra of the call become *excitations*: flat, with the pitch and the rhythm of the
# voice. The network is not asked yet.

# %%
WINDOW, HOP = enhancer.model.info.window_samples, enhancer.model.info.hop_samples
window = hann(WINDOW)
norm = np.sqrt(np.sum(window**2))
spectra = StreamStft(1, window / norm, HOP).push(high)
sources = Excitations(
    ExcitationConstants(),
    sample_rate=48000,
    window_samples=WINDOW,
    hop_samples=HOP,
    channels=1,
    cutoff_hz=found.cutoff_hz,
)
pulses, breath, noise = sources.push(spectra)


def listen(frames):
    """Add frames up to a waveform, and play it softly."""
    scale = norm * HOP / (3 / 8 * WINDOW)
    wave = StreamOverlapAdd(1, window * scale, HOP).push(frames)[0]
    display(Audio(0.1 * wave / np.abs(wave).max(), rate=48000, normalize=False))
    return wave


for name, frames in {"pulses": pulses, "breath": breath, "noise": noise}.items():
    level = 10 * np.log10(np.mean(np.abs(frames[:, 20:]) ** 2, axis=(0, 1)))
    print(f"{name}: {level[100:].min():.0f} to {level[100:].max():.0f} dB over frequency")
    listen(frames)

# %% [markdown]
# ## 4. The network colours them, and the result is added
#
# It gives a gain for every excitation, band and frame. From here on it is one call; what it adds is
# the output less the call.

# %%
wide, wide_rate = enhancer.enhance(call, rate)
added = wide - high[0]
display(Audio(added, rate=wide_rate))
for low_hz, high_hz in ((0, 3500), (4000, 8000), (8000, 16000)):
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    hz = np.fft.rfftfreq(added.size, 1 / wide_rate)
    share = spectrum[(hz >= low_hz) & (hz < high_hz)].sum() / spectrum.sum()
    print(f"{low_hz / 1000:g} to {high_hz / 1000:g} kHz: {share:.1%} of what is added")

# %% [markdown]
# ## 5. The same as a stream
#
# All of it looks forwards in time only as far as the latency says, so a call can be extended while
# it lasts: here in packets of 20 ms, with the same samples as above.

# %%
stream = overtone.StreamEnhancer(rate, plan=plan, enhancer=enhancer)
packets = [stream.push(call[start : start + 160]) for start in range(0, call.size, 160)]
live = np.concatenate([*packets, stream.flush()])
print(f"{1000 * stream.latency_s:.0f} ms late")
print(f"largest difference to the file: {np.abs(live - wide).max():.1e}")
assert np.abs(live - wide).max() < 1e-5
