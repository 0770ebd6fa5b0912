// The page: what the server says is shown, what a person does is sent there.

import {Engine} from "./engine.js";
import {Mixer, make} from "./mixer.js";
import {Notes, pitchName} from "./notes.js";
import {Roll, clock} from "./roll.js";
import {PackedSource, ServerSource} from "./server.js";

const $ = id => document.getElementById(id);
const STAGES = {reading: "Reading the file", measuring: "Measuring its level", transcribing: "Hearing the notes",
  separating: "Separating", aligning: "Aligning the score", writing: "Writing the stems"};
const DONE = {open: "Opening was cancelled.", score: "Cancelled; the notes are as before.", separate: "Cancelled; the stems are as before."};
const POLL = 400, SAVE_AFTER = 300, NUDGE = 0.02, STRIDE = 5, VERSIONS_HELD = 2;

class Studio {
  constructor() {
    const packed = $("packed");
    this.source = packed ? new PackedSource(packed.textContent) : new ServerSource();
    document.body.classList.toggle("packed", Boolean(packed));
    this.packed = Boolean(packed);
    this.engine = new Engine();
    this.notes = new Notes();
    this.held = new Map();  // version -> buffers
    this.mixer = new Mixer($("lanes"), this.engine, {
      choose: n => this.choosePart(n), seek: place => this.seek(place), present: (...given) => this.setPresent(...given)});
    this.roll = new Roll($("canvas"), $("scroller"), $("spacer"), this.notes, {
      choose: ids => { this.notes.chosen = new Set(ids); this.notes.heard(false); },
      hear: note => this.engine.sound(note), seek: place => this.seek(place), span: span => this.setSpan(span)});
    this.roll.editable = !packed;
    this.notes.heard = changed => this.notesChanged(changed);
    this.engine.notes = () => this.notes.all.map(note => ({...note, name: this.notes.names[note.part]}));
    this.engine.pitched = part => this.scored[part].pitched;
    this.engine.ended = () => this.showPlaying();
    this.revision = 0;
    this.span = null;
    this.bind();
    this.refresh().then(() => this.frame());
  }

  // -- what the server says --

  async refresh() {
    try {
      const state = await this.source.state();
      await this.show(state);
      if (state.job.running) this.later(POLL);
    } catch (fault) { this.fail(fault); }
  }

  later(wait) {
    clearTimeout(this.asking);
    this.asking = setTimeout(() => this.refresh(), wait);
  }

  async show(state) {
    const before = this.state;
    this.state = state;
    const {job} = state, ended = before && !job.running && !(before.job.number === job.number && !before.job.running);
    $("drop").hidden = state.opened || this.packed;
    $("work").hidden = !job.running;
    if (job.running) {
      const text = STAGES[job.stage] || "Working";
      if ($("stage").textContent !== text) { $("stage").textContent = text; this.say(text); }
      $("progress").value = job.done;
      $("cancel").disabled = this.cancelled === job.number;
    } else if (job.error && (ended || !before && !state.ready)) this.fail(new Error(job.error));
    for (const id of ["again", "file", "score"]) $(id).disabled = job.running;
    $("unfinished").hidden = !state.opened || state.ready || job.running;
    if (before && before.opening !== state.opening) this.forget();
    if (ended && job.cancelled) this.tell(DONE[job.kind]);
    if (ended && job.number === this.scoring && !job.error && !job.cancelled) await this.takeScore(job.number);
    if (!state.opened) return;
    document.title = `${state.name} · scoresep studio`;
    $("title").textContent = state.name;
    if (state.decoded && !state.ready && this.loaded !== `${state.name} mixture`) await this.showMixture();
    if (state.ready && this.loaded !== `${state.name} stems`) await this.showSong();
    else if (state.ready && before && before.versions.length && before.versions.at(-1).id !== state.versions.at(-1).id) {
      await this.showVersions(state.versions.at(-1).id);
      this.say("Separated again.");
    }
    this.showExports();
  }

  forget() {
    this.engine.pause();
    this.engine.place = 0;
    this.held.clear();
    this.shown = this.loaded = this.mix = null;
    this.unsaved = false;
    this.setSpan(null);
    this.showPlaying();
    for (const id of ["song", "fault", "told"]) $(id).hidden = true;
    document.title = $("title").textContent = "scoresep studio";
  }

  get scored() { return this.state.instruments.filter(each => each.scored); }

  buffer() {
    const {samples, rate, channels} = this.state;
    return new AudioBuffer({length: samples, sampleRate: rate, numberOfChannels: channels});
  }

  // The recording as one lane, to be heard while it is separated.
  async showMixture() {
    this.loaded = `${this.state.name} mixture`;
    const {rate, samples} = this.state;
    const sound = await this.source.fill(this.buffer(), null, 0, 0, samples);
    if (this.loaded !== `${this.state.name} mixture`) return;
    this.begin([{name: "recording", buffer: sound}]);
    this.mixer.show(this.engine.lanes, ["#777"], [], []);
    $("song").classList.add("alone");
    this.say("The recording can be heard.");
  }

  begin(lanes) {
    const {rate, samples} = this.state;
    $("song").hidden = false;
    this.engine.setLanes(lanes, rate, samples / rate);
    $("seek").max = samples / rate;
    $("length").textContent = clock(samples / rate);
  }

  async showSong() {
    this.loaded = `${this.state.name} stems`;
    const {state} = this, {notes, revision} = await this.source.notes();
    this.revision = revision;
    $("song").classList.remove("alone");
    this.present = new Set(state.versions.at(-1).present);
    const buffers = await this.buffers(state.versions.at(-1).id);
    this.begin(state.stems.map((name, n) => ({name, buffer: buffers[n]})));
    for (const lane of this.engine.lanes) Object.assign(lane, state.mix[lane.name] || {});
    this.colours = state.stems.map((name, n) => state.colours[n % state.colours.length]);
    this.mixer.show(this.engine.lanes, this.colours, [...this.present], this.packed ? [] : state.instruments.map(each => each.name));
    this.notes.load(this.scored.map(each => each.name), notes);
    $("part").replaceChildren(...this.scored.map((each, n) => make("option", {value: n, textContent: each.name})));
    const colours = this.scored.map(each => this.colours[state.stems.indexOf(each.name)]);
    this.roll.show(this.engine.length, state.picture, colours, this.source);
    $("weight").value = state.versions.at(-1).weight || state.weight;
    this.showWeight();
    this.showBeat(state.beat);
    await this.showVersions(state.versions.at(-1).id);
    this.choosePart(0);
    this.say("The song is separated.");
  }

  // The sound of a version; where only a span of it is new, only that is loaded.
  async buffers(id) {
    if (this.held.has(id)) return this.held.get(id);
    const place = this.state.versions.findIndex(each => each.id === id), version = this.state.versions[place];
    const before = place ? this.held.get(this.state.versions[place - 1].id) : null;
    const [start, stop] = version.span && before ? version.touched : [0, this.state.samples];
    const buffers = [];
    for (let part = 0; part < this.state.stems.length; part++) {
      const buffer = this.buffer();
      if (version.span && before) {
        for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
          buffer.copyToChannel(before[part].getChannelData(channel), channel);
        }
      }
      buffers.push(await this.source.fill(buffer, id, part, start, stop));
    }
    this.held.set(id, buffers);
    for (const old of this.held.keys()) if (this.held.size > VERSIONS_HELD && old !== id && old !== this.shown) this.held.delete(old);
    return buffers;
  }

  async showVersions(id) {
    const {versions} = this.state;
    const label = version => !version.id ? "the model’s" : `${version.id}: notes ${Math.round(version.weight * 100)} %`
      + (version.span ? `, ${clock(version.span[0])}–${clock(version.span[1])}` : "");
    $("version").replaceChildren(...versions.map(each => make("option", {value: each.id, textContent: label(each)})));
    $("ab").disabled = versions.length < 2;
    await this.hear(id);
  }

  async hear(id) {
    const buffers = await this.buffers(id);
    this.shown = id;
    $("version").value = id;
    this.engine.setBuffers(buffers);
    this.mixer.draw();
    this.showExports();
  }

  async compare() {
    const ids = this.state.versions.map(each => each.id);
    if (ids.length < 2) return;
    await this.hear(this.shown === ids.at(-1) ? ids.at(-2) : ids.at(-1));
    this.say(`Now: stems ${$("version").selectedOptions[0].textContent}`);
  }

  // -- what a person does --

  bind() {
    const on = (id, kind, work) => $(id).addEventListener(kind, event => this.guard(() => work(event)));
    on("play", "click", () => this.toggle());
    on("back", "click", () => this.seek(0));
    on("loop", "click", () => this.setLoop());
    on("speed", "change", () => this.setSpeed(Number($("speed").value)));
    on("master", "input", () => { this.engine.level = Number($("master").value); this.engine.adjust(); });
    on("preview", "click", () => this.setPreview());
    on("version", "change", () => this.hear(Number($("version").value)));
    on("ab", "click", () => this.compare());
    on("seek", "input", () => this.seek(Number($("seek").value)));
    on("part", "change", () => this.choosePart(Number($("part").value)));
    on("pencil", "click", () => this.setPencil());
    on("remove", "click", () => this.notes.remove());
    on("give", "click", () => this.notes.give(this.roll.part));
    on("undo", "click", () => this.notes.undo());
    on("redo", "click", () => this.notes.redo());
    on("closer", "click", () => this.roll.zoomBy(1.4));
    on("wider", "click", () => this.roll.zoomBy(1 / 1.4));
    on("follow", "click", () => $("follow").setAttribute("aria-pressed", $("follow").getAttribute("aria-pressed") !== "true"));
    on("weight", "input", () => this.showWeight());
    on("whole", "click", () => this.setSpan(null));
    on("again", "click", () => this.separate());
    on("tap", "click", () => this.tap());
    on("format", "change", () => this.showExports());
    on("file", "change", () => this.open($("file").files[0]));
    on("score", "change", () => this.loadScore($("score").files[0]));
    on("cancel", "click", () => this.cancel());
    on("prepare", "click", () => this.begun(this.source.prepare()));
    $("lanes").addEventListener("input", () => this.saveSoon());
    $("lanes").addEventListener("click", () => this.saveSoon());
    addEventListener("keydown", event => this.guard(() => this.key(event)));
    addEventListener("resize", () => this.engine.lanes.length && this.mixer.draw());
    addEventListener("focus", () => this.refresh());
    addEventListener("beforeunload", event => { if (this.unsaved) event.preventDefault(); });
    if (this.packed) return;
    addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("over"); });
    addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("over"); });
    addEventListener("drop", event => {
      event.preventDefault();
      document.body.classList.remove("over");
      const [file] = event.dataTransfer.files;
      const score = file && $("score").accept.split(",").some(suffix => file.name.toLowerCase().endsWith(suffix));
      this.guard(() => file && (score ? this.loadScore(file) : this.open(file)));
    });
  }

  async guard(work) {
    try { await work(); } catch (fault) { this.fail(fault); }
  }

  fail(fault) {
    $("fault").textContent = fault.message;
    $("fault").hidden = false;
    if (!(fault instanceof Error && "status" in fault) && !this.packed) console.warn(fault.message);
  }

  say(text) { $("says").textContent = text; }

  tell(text) {
    $("told").textContent = text;
    $("told").hidden = false;
    this.say(text);
  }

  // Something that the server has begun: its state, which is coming.
  async begun(coming) {
    $("fault").hidden = $("told").hidden = true;
    await this.show(await coming);
    if (this.state.job.running) this.later(POLL / 2);
  }

  async cancel() {
    this.cancelled = this.state.job.number;
    $("cancel").disabled = true;
    await this.source.cancel(this.cancelled);
  }

  async open(file) {
    if (!file) return;
    await this.flush();
    this.say(`Opening ${file.name}`);
    $("stage").textContent = "Opening";
    $("work").hidden = false;
    $("cancel").disabled = true;
    try { await this.begun(this.source.open(file)); } finally {
      $("file").value = "";
      $("work").hidden = !this.state.job.running;
    }
  }

  async loadScore(file) {
    if (!file) return;
    try { await this.begun(this.source.loadScore(file, $("align").checked).then(state => {
      Object.assign(this, {scoring: state.job.number, scoreName: file.name});
      return state;
    })); } finally { $("score").value = ""; }
  }

  async takeScore(number) {
    this.scoring = null;
    const {notes, found} = await this.source.scoreOf(number);
    this.notes.chosen.clear();
    this.notes.put(this.notes.fromTables(notes));
    this.tell(`${this.scoreName}: ${found}. Undo brings back the notes before.`);
  }

  async separate() {
    await this.flush();
    await this.begun(this.source.separate(Number($("weight").value), [...this.present], this.span));
  }

  toggle() {
    if (this.engine.playing) this.engine.pause(); else this.engine.play();
    this.showPlaying();
  }

  showPlaying() { $("play").textContent = this.engine.playing ? "Pause" : "Play"; }

  seek(place) {
    this.engine.seek(place);
    this.roll.reveal(this.engine.place);
    this.showHead();
  }

  setLoop(looping = !this.engine.looping) {
    this.engine.looping = looping;
    $("loop").setAttribute("aria-pressed", looping);
    this.engine.restart();
  }

  setSpeed(speed) {
    $("speed").value = speed;
    const playing = Boolean(this.engine.playing);
    if (playing) this.engine.pause();
    this.engine.speed = speed;
    if (playing) this.engine.play();
  }

  setPreview(preview = !this.engine.preview) {
    this.engine.preview = preview;
    $("preview").setAttribute("aria-pressed", preview);
    this.engine.restart();
  }

  setPencil(pencil = !this.roll.pencil) {
    this.roll.pencil = pencil;
    $("pencil").setAttribute("aria-pressed", pencil);
    $("canvas").classList.toggle("pencil", pencil);
  }

  setSpan(span) {
    this.span = this.engine.span = this.roll.span = span && span[1] - span[0] > 0.05 ? span : null;
    $("span-says").textContent = this.span ? `From ${clock(this.span[0])} to ${clock(this.span[1])}.` : "The whole song.";
    $("whole").hidden = !this.span;
    if (this.engine.looping && !this.roll.drag) this.engine.restart();
    this.roll.draw();
  }

  setPresent(name, plays, box) {
    if (plays) this.present.add(name); else if (this.present.size > 1) this.present.delete(name); else box.checked = true;
    this.say(`${name} ${this.present.has(name) ? "plays" : "does not play"}: “Separate again” takes it into account.`);
  }

  choosePart(n) {
    const name = this.engine.lanes[n] && this.engine.lanes[n].name;
    const part = this.scored.findIndex(each => each.name === name);
    this.lane = n;
    if (part >= 0) { this.roll.part = part; $("part").value = part; }
    this.mixer.update(n);
    this.roll.draw();
  }

  showWeight() {
    const weight = Number($("weight").value);
    $("weight-says").textContent = weight === 0 ? "masks alone" : weight === 1 ? "notes alone" : `${Math.round(weight * 100)} % notes`;
  }

  showExports() {
    if (this.packed || !this.state.ready) return;
    const format = $("format").value, busy = this.state.job.running;
    const link = (text, kind, part = 0) => make("a", {className: "button", textContent: text, download: "",
      href: this.source.exported(kind, format, this.shown ?? "", part), data: busy ? {"aria-disabled": "true"} : {},
      onclick: () => { this.tell(`${text}: your browser saves it when it is made.`); this.flush(); }});
    const row = (...links) => make("div", {className: "row"}, ...links), {stems} = this.state;
    $("exports").replaceChildren(
      row(link("All stems (ZIP)", "stems"), ...stems.map((name, n) => link(name, "stem", n))),
      row(...stems.map((name, n) => link(`without ${name}`, "without", n))),
      row(link("MIDI", "midi"), link("MusicXML", "musicxml"), link("Project", "project"), link("Page to give away", "page")));
  }

  // A tap at the playhead: the line through all taps (times over numbers) is the beat; the first tap begins a bar.
  async tap() {
    const now = this.engine.position(), taps = this.taps || [];
    this.taps = taps.length && (now <= taps.at(-1) || now - taps.at(-1) > 3) ? [now] : [...taps, now];
    const count = this.taps.length, middle = (count - 1) / 2, mean = this.taps.reduce((sum, each) => sum + each, 0) / count;
    if (count < 4) { $("beat-says").textContent = `${count} of at least 4 taps`; return; }
    let above = 0, below = 0;
    this.taps.forEach((each, n) => { above += (n - middle) * (each - mean); below += (n - middle) ** 2; });
    const beat = [60 / (above / below), Math.max(mean - middle * above / below, 0)];
    await this.source.saveBeat(beat);
    this.showBeat(beat);
  }

  showBeat(beat) {
    if (beat) $("beat-says").textContent = `${beat[0].toFixed(1)} beats a minute, as tapped`;
  }

  // -- notes --

  notesChanged(changed) {
    const note = this.notes.one(), count = this.notes.chosen.size;
    const text = note ? `${this.notes.names[note.part]}, ${this.scored[note.part].pitched ? pitchName(note.pitch) : `drum ${note.pitch}`}, `
      + `${note.onset.toFixed(2)} to ${note.offset.toFixed(2)} s` : count ? `${count} notes are chosen.` : "No note is chosen.";
    if (count || changed) { $("chosen").textContent = text; if (!this.roll.drag) this.say(text); }
    $("undo").disabled = !this.notes.past.length;
    $("redo").disabled = !this.notes.future.length;
    $("remove").disabled = $("give").disabled = !count;
    this.roll.draw();
    if (changed) { this.unsaved = true; this.saveSoon(); }
  }

  saveSoon() {
    if (this.packed) return;
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.guard(() => this.flush()), SAVE_AFTER);
  }

  async flush() {
    clearTimeout(this.saving);
    if (!this.state || !this.state.ready || this.packed) return;
    if (this.unsaved) {
      this.unsaved = false;
      try {
        ({revision: this.revision} = await this.source.save(this.notes.toTables(), this.revision));
      } catch (fault) { this.unsaved = fault.status !== 409; throw fault; }
    }
    const mix = JSON.stringify(Object.fromEntries(this.engine.lanes.map(({name, level, pan, mute, solo}) => [name, {level, pan, mute, solo}])));
    if (mix !== this.mix && this.engine.lanes[0].name !== "recording") { await this.source.saveMix(mix); this.mix = mix; }
  }

  // -- keys --

  key(event) {
    const {target, key} = event, tag = target.tagName, letter = key.length === 1 ? key.toLowerCase() : key;
    if ($("song").hidden || event.altKey || tag === "SELECT" || (tag === "INPUT" && !["range", "checkbox", "file"].includes(target.type))) return;
    if (event.ctrlKey || event.metaKey) {
      if (letter !== "z" && letter !== "y" || this.packed) return;
      event.preventDefault();
      if (letter === "y" || event.shiftKey) this.notes.redo(); else this.notes.undo();
      return;
    }
    const native = ["BUTTON", "SUMMARY", "A"].includes(tag) || target.type === "checkbox" || target.type === "file";
    if ((letter === " " || key === "Enter") && native) return;
    if ((key.startsWith("Arrow") && tag === "INPUT") || (key === "Enter" && target.id !== "canvas")) return;
    const work = this.keys(event)[letter];
    if (!work || (/^[1-9]$/.test(letter) && Number(letter) > this.engine.lanes.length)) return;
    event.preventDefault();
    return work();
  }

  keys(event) {
    const edit = work => this.packed ? undefined : work;
    const lane = what => () => { this.mixer.toggle(this.lane || 0, what); this.saveSoon(); };
    const arrows = {};
    for (const [name, seconds, keys] of [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, 1], ["ArrowDown", 0, -1]]) {
      arrows[name] = () => this.arrow(seconds, keys, event.shiftKey);
    }
    return {
      ...arrows, ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map(n => [String(n), () => this.choosePart(n - 1)])),
      " ": () => this.toggle(), Home: () => this.seek(0), l: () => this.setLoop(), m: lane("mute"), s: lane("solo"),
      h: () => this.setSpeed(this.engine.speed === 1 ? 0.5 : 1), b: () => this.compare(), n: () => this.setPreview(),
      "+": () => this.roll.zoomBy(1.4), "-": () => this.roll.zoomBy(1 / 1.4),
      ".": () => this.nextNote(1), ",": () => this.nextNote(-1), Escape: () => { this.notes.chosen.clear(); this.notes.heard(false); },
      "[": () => this.setSpan([this.engine.position(), Math.max(this.span ? this.span[1] : 0, this.engine.position() + 1)]),
      "]": () => this.setSpan([Math.min(this.span ? this.span[0] : 0, this.engine.position()), this.engine.position()]),
      p: edit(() => this.setPencil()), i: edit(() => this.notes.give(this.roll.part)), Delete: edit(() => this.notes.remove()),
      Backspace: edit(() => this.notes.remove()), a: edit(() => this.addHere()),
      t: edit(() => this.tap()), Enter: edit(() => $("again").disabled ? null : this.separate()),
    };
  }

  arrow(seconds, keys, stretch) {
    if (!this.notes.chosen.size || this.packed) {
      if (seconds) this.seek(this.engine.position() + seconds * STRIDE);
      else $("scroller").scrollBy(0, -40 * keys);
      return;
    }
    this.notes.change(note => ({onset: note.onset + (stretch ? 0 : seconds * NUDGE), offset: note.offset + seconds * NUDGE,
      pitch: note.pitch + (stretch ? 0 : keys)}), this.engine.length);
    const note = this.notes.one();
    if (note) { this.roll.reveal(note.onset, note.pitch); if (keys) this.engine.sound(note); }
  }

  nextNote(direction) {
    const note = this.notes.step(direction, this.roll.part, this.engine.position());
    if (note) { this.roll.reveal(note.onset, note.pitch); this.engine.sound(note); }
  }

  addHere() {
    const before = this.notes.one(), place = this.engine.position();
    const own = this.notes.all.filter(note => note.part === this.roll.part);
    const near = own.length ? own.reduce((best, note) => Math.abs(note.onset - place) < Math.abs(best.onset - place) ? note : best) : null;
    const note = this.notes.add(this.roll.part, place, Math.min(place + 0.25, this.engine.length), (before || near || {pitch: 60}).pitch);
    this.roll.reveal(note.onset, note.pitch);
    this.engine.sound(note);
  }

  // -- every frame --

  frame() {
    if (this.engine.playing) {
      this.showHead();
      if ($("follow").getAttribute("aria-pressed") === "true" && !this.roll.drag) this.roll.reveal(this.roll.head);
    }
    requestAnimationFrame(() => this.frame());
  }

  showHead() {
    const place = this.engine.position();
    this.roll.head = place;
    $("clock").textContent = clock(place);
    if (document.activeElement !== $("seek") || this.engine.playing) $("seek").value = place;
    this.mixer.moveHead(this.engine.length ? place / this.engine.length : 0);
    this.roll.draw();
  }
}

window.studio = new Studio();
