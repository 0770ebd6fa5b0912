// All lanes on one clock. A lane has a sound, a level, a pan, and may be muted or alone; the graph is the same live and
// when it is rendered without being heard.

import {grains, guideOf, hann, HOP} from "./stretch.js";
import {playNote} from "./synth.js";

const AHEAD = 0.3, HIDDEN_AHEAD = 1.5;  // seconds that grains and notes are planned ahead; timers of hidden tabs are slow
const START = 0.06;

export class Engine {
  constructor() {
    this.lanes = [];
    this.rate = 44100;
    this.length = 0;  // seconds
    this.speed = 1;
    this.level = 1;
    this.looping = false;
    this.span = null;  // [begin, end], seconds
    this.place = 0;
    this.playing = null;
    this.preview = false;
    this.notes = () => [];
    this.pitched = () => true;
    this.ended = () => {};
  }

  // The song's lanes: {name, buffer}; levels and the like of a lane of the same name stay.
  setLanes(lanes, rate, length) {
    const old = new Map(this.lanes.map(lane => [lane.name, lane]));
    this.rate = rate;
    this.length = length;
    this.lanes = lanes.map(({name, buffer}) => {
      const {level = 1, pan = 0, mute = false, solo = false} = old.get(name) || {};
      return {name, buffer, level, pan, mute, solo};
    });
    this.guide = null;
    this.restart();
  }

  // Other sound for the same lanes (another version, a span that was separated again).
  setBuffers(buffers) {
    this.lanes.forEach((lane, n) => { lane.buffer = buffers[n]; });
    this.guide = null;
    this.restart();
  }

  heard(lane) {
    return !lane.mute && (lane.solo || !this.lanes.some(each => each.solo));
  }

  graph(context) {
    const master = context.createGain();
    master.gain.value = this.level;
    master.connect(context.destination);
    const inputs = this.lanes.map(lane => {
      // two channels, because a panner in the middle takes 3 dB from one
      const gain = new GainNode(context, {channelCount: 2, channelCountMode: "explicit"}), pan = context.createStereoPanner();
      gain.gain.value = this.heard(lane) ? lane.level : 0;
      pan.pan.value = lane.pan;
      gain.connect(pan).connect(master);
      return {gain, pan};
    });
    return {master, inputs};
  }

  // After a change of levels, pans, mute, solo.
  adjust() {
    if (!this.live) return;
    const now = this.context.currentTime;
    this.live.master.gain.setTargetAtTime(this.level, now, 0.01);
    this.lanes.forEach((lane, n) => {
      this.live.inputs[n].gain.gain.setTargetAtTime(this.heard(lane) ? lane.level : 0, now, 0.01);
      this.live.inputs[n].pan.pan.setTargetAtTime(lane.pan, now, 0.01);
    });
  }

  loop() {
    if (!this.looping) return null;
    const [begin, end] = this.span || [0, this.length];
    return end - begin > 0.05 ? [begin, Math.min(end, this.length)] : null;
  }

  position() {
    if (!this.playing) return this.place;
    const {from, since, speed, span} = this.playing;
    let place = from + Math.max(this.context.currentTime - since, 0) * speed;
    if (span && place >= span[1]) place = span[0] + (place - span[1]) % (span[1] - span[0]);
    return Math.min(place, this.length);
  }

  play() {
    if (!this.lanes.length) return;
    if (!this.context || this.context.sampleRate !== this.rate) this.context = new AudioContext({sampleRate: this.rate});
    this.context.resume();
    this.stop();
    const span = this.loop();
    if (this.place >= this.length - 0.01 || (span && this.place >= span[1])) this.place = span ? span[0] : 0;
    this.live = this.graph(this.context);
    this.playing = {from: this.place, since: this.context.currentTime + START, speed: this.speed, span, sources: new Set(),
      notes: this.place, turn: 0};
    if (this.speed === 1) this.startWhole(this.context, this.live, this.playing);
    else this.playing.grains = this.grainsFrom(this.place, span);
    this.tick();
    this.timer = setInterval(() => this.tick(), 50);
  }

  grainsFrom(from, span) {
    this.guide = this.guide || guideOf(this.lanes.map(lane => lane.buffer));
    return grains(this.guide, this.rate, from, this.speed, span);
  }

  startWhole(context, graph, playing) {
    this.lanes.forEach((lane, n) => {
      const source = context.createBufferSource();
      source.buffer = lane.buffer;
      if (playing.span) {
        source.loop = true;
        [source.loopStart, source.loopEnd] = playing.span;
      }
      source.connect(graph.inputs[n].gain);
      source.start(playing.since, playing.from);
      playing.sources.add(source);
    });
  }

  startGrain(context, graph, grain, since, sources) {
    const when = since + grain.at;
    this.lanes.forEach((lane, n) => {
      const source = context.createBufferSource(), envelope = context.createGain();
      source.buffer = lane.buffer;
      envelope.gain.setValueCurveAtTime(grain.at ? hann() : hann().fill(1, 0, 32), when, grain.length);
      source.connect(envelope).connect(graph.inputs[n].gain);
      source.start(when, Math.max(grain.place, 0), grain.length);
      sources.add(source);
      source.onended = () => { sources.delete(source); envelope.disconnect(); };
    });
  }

  tick() {
    const {playing, context} = this;
    if (!playing) return;
    const until = context.currentTime + (document.hidden ? HIDDEN_AHEAD : AHEAD);
    while (playing.grains && (!playing.grain || playing.since + playing.grain.at < until)) {
      const {value, done} = playing.grains.next();
      if (done) break;
      playing.grain = value;
      this.startGrain(context, this.live, value, playing.since, playing.sources);
    }
    if (this.preview) this.planNotes(until);
    if (!playing.span && this.position() >= this.length) {
      this.pause();
      this.place = 0;
      this.ended();
    }
  }

  // Notes whose turn comes before `until`; `turn` counts how often the loop has been played.
  planNotes(until) {
    const {playing, context} = this, {from, since, speed, span} = playing;
    const [end, total] = span ? [span[1], span[1] - span[0]] : [this.length, 0];
    for (let guard = 0; guard < 8; guard++) {
      const begun = from - playing.turn * total;  // the place at `since`, counted in this turn
      const reach = Math.min(begun + (until - since) * speed, end);
      for (const note of this.notes()) {
        if (note.onset < playing.notes || note.onset >= reach) continue;
        const lane = this.lanes.findIndex(each => each.name === note.name);
        const target = lane < 0 ? this.live.master : this.live.inputs[lane].gain;
        const at = since + (note.onset - begun) / speed;
        playing.sources.add(playNote(context, target, Math.max(at, context.currentTime), (note.offset - note.onset) / speed,
          note.pitch, note.velocity, this.pitched(note.part)));
      }
      playing.notes = Math.max(playing.notes, reach);
      if (!span || reach < end) return;
      playing.notes = span[0];
      playing.turn++;
    }
  }

  stop() {
    clearInterval(this.timer);
    if (!this.playing) return;
    for (const source of this.playing.sources) {
      try { source.stop(); } catch { /* it has not begun */ }
    }
    this.live.master.disconnect();
    this.playing = this.live = null;
  }

  pause() {
    this.place = this.position();
    this.stop();
  }

  restart() {
    if (!this.playing) return;
    this.pause();
    this.play();
  }

  seek(place) {
    const held = Math.min(Math.max(place, 0), this.length);
    if (this.playing) { this.stop(); this.place = held; this.play(); } else this.place = held;
  }

  // One note by itself, to hear what is being edited.
  sound(note) {
    if (!this.context || this.playing) return;
    playNote(this.context, this.context.destination, this.context.currentTime + 0.01,
      Math.min(note.offset - note.onset, 0.5), note.pitch, note.velocity, this.pitched(note.part));
  }

  // What would be heard from `from` on for so many seconds, as the sound of both channels.
  async render(from, seconds) {
    const context = new OfflineAudioContext({numberOfChannels: 2, length: Math.round(seconds * this.rate), sampleRate: this.rate});
    const graph = this.graph(context), sources = new Set();
    if (this.speed === 1) this.startWhole(context, graph, {from, since: 0, span: this.loop(), sources});
    else {
      for (const grain of this.grainsFrom(from, this.loop())) {
        if (grain.at >= seconds + HOP) break;
        this.startGrain(context, graph, grain, 0, sources);
      }
    }
    if (this.preview) {
      for (const note of this.notes()) {
        const at = (note.onset - from) / this.speed;
        if (at >= 0 && at < seconds) {
          playNote(context, graph.master, at, (note.offset - note.onset) / this.speed, note.pitch, note.velocity,
            this.pitched(note.part));
        }
      }
    }
    const sound = await context.startRendering();
    return [sound.getChannelData(0), sound.getChannelData(1)];
  }
}
