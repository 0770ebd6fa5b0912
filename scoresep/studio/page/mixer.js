// A lane for each instrument: name, mute, solo, level, pan, waveform, and whether it plays in the song.

const COLUMNS = 1600;

export function make(tag, properties = {}, ...children) {
  const {style, data, ...rest} = properties;
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(style || {})) element.style.setProperty(name, value);
  for (const [name, value] of Object.entries(data || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// The lowest and highest sample of every column.
export function peaksOf(buffer) {
  const low = new Float32Array(COLUMNS), high = new Float32Array(COLUMNS);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const data = buffer.getChannelData(channel), width = data.length / COLUMNS;
    for (let column = 0; column < COLUMNS; column++) {
      const stop = Math.min(Math.ceil((column + 1) * width), data.length);
      for (let n = Math.floor(column * width); n < stop; n++) {
        if (data[n] < low[column]) low[column] = data[n]; else if (data[n] > high[column]) high[column] = data[n];
      }
    }
  }
  return [low, high];
}

export class Mixer {
  constructor(place, engine, {choose, seek, present}) {
    Object.assign(this, {place, engine, choose, seek, present});
  }

  show(lanes, colours, playing, canLeave) {
    this.colours = colours;
    this.rows = lanes.map((lane, n) => this.row(lane, n, colours[n % colours.length], playing, canLeave));
    this.place.replaceChildren(...this.rows.map(row => row.element));
    this.update();
    this.draw();
  }

  row(lane, n, colour, playing, canLeave) {
    const toggle = (what, letter) => make("button", {
      textContent: letter, title: `${what} ${lane.name}`,
      onclick: () => this.toggle(n, what),
      data: {"aria-label": `${what} ${lane.name}`, "aria-pressed": "false"},
    });
    const knob = (what, min, max, value) => {
      const input = make("input", {type: "range", min, max, step: 0.01, value: lane[what] ?? value,
        data: {"aria-label": `${what} of ${lane.name}`}});
      input.oninput = () => { lane[what] = Number(input.value); this.engine.adjust(); };
      input.ondblclick = () => { input.value = value; input.oninput(); };
      return make("label", {className: "knob"}, what, input);
    };
    const name = make("button", {className: "name", textContent: lane.name, title: "Choose", onclick: () => this.choose(n)});
    const plays = make("input", {type: "checkbox", checked: playing.includes(lane.name), disabled: !canLeave.includes(lane.name)});
    plays.onchange = () => this.present(lane.name, plays.checked, plays);
    const mute = toggle("mute", "M"), solo = toggle("solo", "S");
    const canvas = make("canvas"), head = make("i", {data: {"aria-hidden": "true"}});
    const wave = make("div", {className: "wave", onclick: event => {
      const box = wave.getBoundingClientRect();
      this.seek((event.clientX - box.left) / box.width * this.engine.length);
    }}, canvas, head);
    const left = make("div", {}, name);
    if (canLeave.includes(lane.name)) left.append(make("label", {className: "plays server"}, plays, "plays in this song"));
    const element = make("div", {className: "lane", style: {"--part": colour}, data: {role: "group", "aria-label": lane.name}},
      left, make("div", {className: "row"}, mute, solo), knob("level", 0, 1.5, 1), knob("pan", -1, 1, 0), wave);
    return {element, mute, solo, canvas, wave, plays};
  }

  toggle(n, what) {
    this.engine.lanes[n][what] = !this.engine.lanes[n][what];
    this.engine.adjust();
    this.update();
  }

  update(chosen = this.chosen) {
    this.chosen = chosen;
    this.engine.lanes.forEach((lane, n) => {
      const row = this.rows[n];
      row.mute.setAttribute("aria-pressed", Boolean(lane.mute));
      row.solo.setAttribute("aria-pressed", Boolean(lane.solo));
      row.element.classList.toggle("silent", !this.engine.heard(lane));
      row.element.classList.toggle("chosen", n === chosen);
    });
  }

  // Waveforms, all on one scale.
  draw() {
    const peaks = this.engine.lanes.map(lane => lane.buffer.peaks || (lane.buffer.peaks = peaksOf(lane.buffer)));
    let most = 1e-6;
    for (const [low, high] of peaks) for (let n = 0; n < COLUMNS; n++) most = Math.max(most, high[n], -low[n]);
    this.rows.forEach(({canvas, wave}, lane) => {
      const ratio = devicePixelRatio || 1, width = wave.clientWidth * ratio, height = wave.clientHeight * ratio;
      if (!width || !height) return;
      [canvas.width, canvas.height] = [width, height];
      const paint = canvas.getContext("2d"), [low, high] = peaks[lane];
      paint.fillStyle = this.colours[lane % this.colours.length];
      for (let x = 0; x < width; x++) {
        const first = Math.floor(x / width * COLUMNS), last = Math.max(Math.ceil((x + 1) / width * COLUMNS), first + 1);
        let down = 0, up = 0;
        for (let n = first; n < Math.min(last, COLUMNS); n++) { down = Math.min(down, low[n]); up = Math.max(up, high[n]); }
        const top = (1 - up / most) * height / 2, bottom = (1 - down / most) * height / 2;
        paint.fillRect(x, top, 1, Math.max(bottom - top, 1));
      }
    });
  }

  moveHead(share) {
    this.place.style.setProperty("--at", share);
  }
}
