// The sample rate that a file states: decoders of browsers do not tell, and change it.

const text = (view, at, length) => String.fromCharCode(...Array.from({ length }, (_, n) => view.getUint8(at + n)));

/** In Hz; 0 where it is not known. */
export function sampleRate(view) {
  try {
    const start = text(view, 0, 4);
    if (start === "RIFF" || start === "RF64") {
      for (let at = 12; at + 16 < view.byteLength; at += 8 + view.getUint32(at + 4, true)) {
        if (text(view, at, 4) === "fmt ") return view.getUint32(at + 12, true);
      }
    }
    if (start === "fLaC") return view.getUint32(18) >>> 12;
    if (start === "OggS") {
      const packet = 27 + view.getUint8(26);
      return text(view, packet + 1, 6) === "vorbis" ? view.getUint32(packet + 12, true) : 48000;
    }
    return mp3(view);
  } catch (error) {
    if (error instanceof RangeError) return 0;
    throw error;
  }
}

function mp3(view) {
  let at = 0;
  if (text(view, 0, 3) === "ID3") at = 10 + [6, 7, 8, 9].reduce((size, n) => size * 128 + view.getUint8(n), 0);
  for (const end = at + 4096; at < end; at++) {
    const header = view.getUint32(at);
    const version = (header >>> 19) & 3, layer = (header >>> 17) & 3, rate = (header >>> 10) & 3;
    if (header >>> 21 === 2047 && version !== 1 && layer === 1 && rate !== 3) {
      return [44100, 48000, 32000][rate] / [4, 0, 2, 1][version];
    }
  }
  return 0;
}
