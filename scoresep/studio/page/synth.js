// A preview of the notes: plain tones with a few partials, noise for drums.

const PARTIALS = new Float32Array([0, 1, 0.5, 0.3, 0.15, 0.1, 0.05]);
const waves = new WeakMap(), noises = new WeakMap();

function waveOf(context) {
  if (!waves.has(context)) waves.set(context, context.createPeriodicWave(new Float32Array(PARTIALS.length), PARTIALS));
  return waves.get(context);
}

function noiseOf(context) {
  if (!noises.has(context)) {
    const buffer = new AudioBuffer({length: Math.round(context.sampleRate / 4), sampleRate: context.sampleRate});
    let state = 1;
    buffer.copyToChannel(Float32Array.from({length: buffer.length}, () => {
      state = (state * 16807) % 2147483647;
      return state / 1073741824 - 1;
    }), 0);
    noises.set(context, buffer);
  }
  return noises.get(context);
}

// One note from `when` on (the context's seconds), `seconds` long; returns what can be stopped.
export function playNote(context, target, when, seconds, pitch, velocity, pitched) {
  const envelope = context.createGain();
  const loud = 0.18 * (velocity / 127) ** 2 + 0.02, length = pitched ? Math.max(seconds, 0.05) : 0.15;
  envelope.gain.setValueAtTime(0, when);
  envelope.gain.linearRampToValueAtTime(loud, when + 0.008);
  envelope.gain.setTargetAtTime(loud * 0.4, when + 0.01, 0.3);
  envelope.gain.setTargetAtTime(0, when + length, 0.03);
  let source;
  if (pitched) {
    source = context.createOscillator();
    source.setPeriodicWave(waveOf(context));
    source.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    source.connect(envelope);
  } else {
    source = context.createBufferSource();
    source.buffer = noiseOf(context);
    const filter = context.createBiquadFilter();
    filter.type = pitch < 38 ? "lowpass" : pitch < 42 ? "bandpass" : "highpass";
    filter.frequency.value = pitch < 38 ? 150 : pitch < 42 ? 900 : 5000;
    source.connect(filter).connect(envelope);
  }
  envelope.connect(target);
  source.start(when);
  source.stop(when + length + 0.2);
  return source;
}
