// Slower without another pitch: WSOLA (Verhelst and Roelands, ICASSP 1993). Short grains of the sound overlap; each is
// taken, within a tolerance, from where it continues the one before best. All lanes take their grains from the same
// places, so they stay together to the sample.

export const GRAIN = 0.08;  // seconds
export const HOP = GRAIN / 2;
const TOLERANCE = 0.012;
const COARSE = 4;  // samples between the places that are tried first

// The signal by which places are chosen: all lanes together, mono.
export function guideOf(buffers) {
  const guide = new Float32Array(buffers[0].length);
  for (const buffer of buffers) {
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      const data = buffer.getChannelData(channel);
      for (let n = 0; n < guide.length; n++) guide[n] += data[n];
    }
  }
  return guide;
}

// Where the grain nearest to sample `wanted` is to begin so that it goes on from sample `after`.
export function bestPlace(guide, rate, wanted, after) {
  const reach = Math.round(TOLERANCE * rate), length = Math.round(HOP * rate);
  const search = (low, high, step, stride) => {
    let best = Math.round(wanted), most = -Infinity;
    for (let place = Math.max(low, 0); place <= high; place += step) {
      let product = 0, energy = 1e-9;
      for (let n = 0; n < length; n += stride) {
        const value = guide[place + n] || 0;
        product += value * (guide[after + n] || 0);
        energy += value * value;
      }
      const alike = product / Math.sqrt(energy);
      if (alike > most) { most = alike; best = place; }
    }
    return best;
  };
  const middle = Math.round(wanted);
  const near = search(middle - reach, middle + reach, COARSE, COARSE);
  return search(near - COARSE, near + COARSE, 1, 2);
}

// Grains one after another: {at, place, length}, seconds after the beginning and in the song; `span` is looped.
export function* grains(guide, rate, from, speed, span) {
  let wanted = from, after = null;
  for (let count = 0; ; count++) {
    if (span && wanted >= span[1]) { wanted = span[0] + (wanted - span[1]); after = null; }
    if (wanted * rate >= guide.length) return;
    const place = after === null ? Math.round(wanted * rate) : bestPlace(guide, rate, wanted * rate, after);
    yield {at: count * HOP, place: place / rate, length: GRAIN};
    after = place + Math.round(HOP * rate);
    wanted += HOP * speed;
  }
}

export function hann(size = 64) {
  return Float32Array.from({length: size}, (_, n) => 0.5 - 0.5 * Math.cos(2 * Math.PI * n / (size - 1)));
}
