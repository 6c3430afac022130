"""How close an estimate is to its reference: SNR, SI-SDR, LSD, texture, MOS models.

Every function takes ``reference`` and ``estimate`` of one shape, ``[samples]`` or
``[channels, samples]``, floats in [-1, 1] or signed integers (read at full scale). Several
channels give the mean over the channels (:func:`side_mid_db` is about both together). Sums are in
float64 and taken block by block, so a long file costs little more memory than its samples.
Empty arrays, arrays of different shapes and NaN or infinite samples raise
:class:`~overtone.errors.InvalidInputError`.

``nan`` means that the figure does not exist: the reference is silent, or the estimate equals it
(a ratio to no error), or, for the models of a listener, there is too little sound. Nothing returns
infinity. Each entry of :data:`METRICS` carries the settings that make its number comparable: print
them beside the number.
"""

from overtone.metrics.perceptual import (
    dnsmos_mos,
    pesq_mos,
    require_perceptual,
    stoi,
    visqol_mos,
)
from overtone.metrics.ratios import kuleshov_snr_db, si_sdr_db, snr_db
from overtone.metrics.scores import (
    METRICS,
    Metric,
    describe,
    evaluate_pair,
    mean_scores,
    settings_lines,
)
from overtone.metrics.spectral import kuleshov_lsd, lsd, lsd_by_band, lsd_hf, lsd_lf
from overtone.metrics.stereo import side_mid_db
from overtone.metrics.texture import (
    envelope_db,
    grain_db,
    harmonics,
    pulses_db,
    texture_scores,
)

# Their names up to 0.1.
lineage_lsd = kuleshov_lsd
lineage_snr_db = kuleshov_snr_db

__all__ = [
    "METRICS",
    "Metric",
    "describe",
    "dnsmos_mos",
    "envelope_db",
    "evaluate_pair",
    "grain_db",
    "harmonics",
    "kuleshov_lsd",
    "kuleshov_snr_db",
    "lsd",
    "lsd_by_band",
    "lsd_hf",
    "lsd_lf",
    "mean_scores",
    "pesq_mos",
    "pulses_db",
    "require_perceptual",
    "settings_lines",
    "si_sdr_db",
    "side_mid_db",
    "snr_db",
    "stoi",
    "texture_scores",
    "visqol_mos",
]
