// Where the song comes from: the server, or what is inside a page to give away.

const STEP = 1 << 20;  // samples asked for at a time

export class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

export class ServerSource {
  async ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(`api/${path}`, options);
    } catch {
      throw new Refused("The studio does not answer. Start it again; what was done is kept.", 0);
    }
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({error: answer.statusText}));
      throw new Refused(said.error, answer.status);
    }
    return answer;
  }

  async state() { return (await this.ask("state")).json(); }
  async notes() { return (await this.ask("notes")).json(); }
  async save(notes, revision) {
    return (await this.ask("notes", {method: "PUT", body: JSON.stringify({notes, revision})})).json();
  }
  async saveBeat(beat) { await this.ask("beat", {method: "PUT", body: JSON.stringify({beat})}); }
  async saveMix(mix) { await this.ask("mix", {method: "PUT", body: mix}); }
  // A job reads it; `scoreOf` gives what comes of the job.
  async loadScore(file, align) {
    return (await this.ask(`score?name=${encodeURIComponent(file.name)}&align=${Number(align)}`, {method: "POST", body: file})).json();
  }
  async scoreOf(number) { return (await this.ask(`score?number=${number}`)).json(); }
  async cancel(number) { await this.ask("cancel", {method: "POST", body: JSON.stringify({number})}); }
  async prepare() { return (await this.ask("prepare", {method: "POST", body: "{}"})).json(); }
  async open(file) {
    return (await this.ask(`open?name=${encodeURIComponent(file.name)}`, {method: "POST", body: file})).json();
  }
  async separate(weight, present, span) {
    return (await this.ask("separate", {method: "POST", body: JSON.stringify({weight, present, span})})).json();
  }
  exported(kind, format, version, part) {
    return `api/export?kind=${kind}&format=${format}&version=${version}&part=${part}`;
  }

  // Write samples start to stop of a stem (of the recording, if version is null) into a buffer.
  async fill(buffer, version, part, start, stop) {
    const channels = buffer.numberOfChannels, what = version === null ? "mixture" : `stems/${version}/${part}`;
    for (let first = start; first < stop; first += STEP) {
      const last = Math.min(first + STEP, stop);
      const answer = await this.ask(`${what}?start=${first}&stop=${last}`);
      const samples = new Float32Array(await answer.arrayBuffer());
      for (let channel = 0; channel < channels; channel++) {
        const own = channels === 1 ? samples : Float32Array.from({length: last - first}, (_, n) => samples[n * channels + channel]);
        buffer.copyToChannel(own, channel, first);
      }
    }
    return buffer;
  }

  async picture(start, stop) {
    return new Uint8Array(await (await this.ask(`picture?start=${start}&stop=${stop}`)).arrayBuffer());
  }
}

// The same of a page that holds everything.
export class PackedSource {
  constructor(text) { this.data = JSON.parse(text); }
  async state() { return this.data.state; }
  async notes() { return {notes: this.data.notes, revision: 0}; }
  async fill(buffer, version, part) {
    const sound = await new OfflineAudioContext(1, 1, buffer.sampleRate).decodeAudioData(bytesOf(this.data.stems[part]).buffer);
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      const samples = sound.getChannelData(Math.min(channel, sound.numberOfChannels - 1));
      buffer.copyToChannel(samples.subarray(0, buffer.length), channel);
    }
    return buffer;
  }
  async picture(start, stop) {
    const {keys, rowsAKey} = this.data.state.picture, rows = keys * rowsAKey;
    this.rows = this.rows || bytesOf(this.data.picture);
    return this.rows.subarray(start * rows, stop * rows);
  }
}

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let n = 0; n < letters.length; n++) bytes[n] = letters.charCodeAt(n);
  return bytes;
}
