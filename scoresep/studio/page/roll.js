// The piano roll over the spectrogram: draws what is in sight, and turns what a pointer does into changes of the notes.

import {pitchName, SHORTEST_NOTE} from "./notes.js";

const GUTTER = 44, RULER = 22, EDGE = 6, TILE = 512;
const BLACK = new Set([1, 3, 6, 8, 10]);
const NEW_NOTE = 0.25;  // seconds

export class Roll {
  constructor(canvas, scroller, spacer, notes, act) {
    Object.assign(this, {canvas, scroller, spacer, notes, act});
    Object.assign(this, {zoom: 80, row: 13, part: 0, span: null, head: 0, editable: true, pencil: false, tiles: new Map()});
    scroller.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.resize()).observe(scroller);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.tiles.clear(); this.draw(); });
    for (const [kind, work] of [["pointerdown", this.down], ["pointermove", this.move], ["pointerup", this.up],
      ["pointercancel", this.up], ["dblclick", this.twice]]) canvas.addEventListener(kind, work.bind(this));
    scroller.addEventListener("wheel", event => this.wheel(event), {passive: false});
  }

  // A song: its length in seconds, the spectrogram's measures, and colours of the parts.
  show(seconds, picture, colours, source) {
    Object.assign(this, {seconds, picture, colours, source});
    this.top = picture.lowest + picture.keys - 1;
    this.tiles.clear();
    this.resize();
    const middle = this.notes.all.length ? this.notes.all.reduce((sum, note) => sum + note.pitch, 0) / this.notes.all.length : 60;
    this.scroller.scrollTop = (this.top - middle) * this.row - this.scroller.clientHeight / 2;
  }

  resize() {
    if (!this.picture) return;
    const width = this.scroller.clientWidth, height = this.scroller.clientHeight, ratio = devicePixelRatio || 1;
    this.spacer.style.width = `${GUTTER + this.seconds * this.zoom + 40}px`;
    this.spacer.style.height = `${RULER + this.picture.keys * this.row}px`;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    [this.canvas.width, this.canvas.height] = [width * ratio, height * ratio];
    this.draw();
  }

  zoomBy(factor, x = this.scroller.clientWidth / 2) {
    const at = this.timeAt(x);
    this.zoom = Math.min(Math.max(this.zoom * factor, 8), 1200);
    this.resize();
    this.scroller.scrollLeft = at * this.zoom + GUTTER - x;
    this.draw();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - this.canvas.getBoundingClientRect().left);
  }

  x(seconds) { return GUTTER + seconds * this.zoom - this.scroller.scrollLeft; }
  y(pitch) { return RULER + (this.top - pitch) * this.row - this.scroller.scrollTop; }
  timeAt(x) { return Math.min(Math.max((x - GUTTER + this.scroller.scrollLeft) / this.zoom, 0), this.seconds); }
  pitchAt(y) {
    const pitch = this.top - Math.floor((y - RULER + this.scroller.scrollTop) / this.row);
    return Math.min(Math.max(pitch, this.picture.lowest), this.top);
  }

  // Scroll so that a time (and a pitch) is in sight.
  reveal(seconds, pitch = null) {
    const width = this.scroller.clientWidth, x = this.x(seconds);
    if (x < GUTTER || x > width - 40) this.scroller.scrollLeft = seconds * this.zoom - (width - GUTTER) * 0.2;
    if (pitch !== null) {
      const y = this.y(pitch);
      if (y < RULER || y > this.scroller.clientHeight - this.row) {
        this.scroller.scrollTop = (this.top - pitch) * this.row - this.scroller.clientHeight / 2;
      }
    }
  }

  // -- drawing --

  draw() {
    if (!this.picture || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const ratio = devicePixelRatio || 1, paint = this.canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const width = this.canvas.width / ratio, height = this.canvas.height / ratio;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.fillStyle = colour("--roll");
    paint.fillRect(0, 0, width, height);
    this.paintKeys(paint, colour, width, height);
    this.paintPicture(paint, colour("--text"), width);
    if (this.span) {
      paint.fillStyle = colour("--accent");
      paint.globalAlpha = 0.16;
      paint.fillRect(this.x(this.span[0]), 0, (this.span[1] - this.span[0]) * this.zoom, height);
      paint.globalAlpha = 1;
    }
    this.paintNotes(paint, colour, width);
    if (this.band) {
      paint.strokeStyle = colour("--accent");
      const [x, y, w, h] = this.band;
      paint.strokeRect(x, y, w, h);
    }
    this.paintGutter(paint, colour, height);
    this.paintRuler(paint, colour, width);
    paint.fillStyle = colour("--head");
    const head = this.x(this.head);
    if (head >= GUTTER) paint.fillRect(head - 1, 0, 2, height);
  }

  paintKeys(paint, colour, width, height) {
    paint.fillStyle = colour("--roll-line");
    for (let pitch = this.picture.lowest; pitch <= this.top; pitch++) {
      const y = this.y(pitch);
      if (y > height || y < -this.row) continue;
      if (BLACK.has(pitch % 12)) { paint.globalAlpha = 0.45; paint.fillRect(GUTTER, y, width, this.row); paint.globalAlpha = 1; }
      if (pitch % 12 === 0) paint.fillRect(GUTTER, y + this.row - 1, width, 1);
    }
  }

  paintPicture(paint, ink, width) {
    const rate = this.picture.frameRate, first = Math.floor(this.timeAt(GUTTER) * rate / TILE);
    const last = Math.floor(this.timeAt(width) * rate / TILE);
    for (let tile = first; tile <= last; tile++) {
      const image = this.tile(tile, ink);
      if (!image) continue;
      const left = this.x((tile * TILE - 0.5) / rate);
      paint.drawImage(image, left, this.y(this.top), image.width / rate * this.zoom, this.picture.keys * this.row);
    }
  }

  // A piece of the spectrogram; asked for when it first comes into sight.
  tile(number, ink) {
    if (this.tiles.has(number)) return this.tiles.get(number);
    this.tiles.set(number, null);
    const rows = this.picture.keys * this.picture.rowsAKey, tiles = this.tiles;
    this.source.picture(number * TILE, (number + 1) * TILE).then(levels => {
      const frames = levels.length / rows;
      if (!frames || tiles !== this.tiles) return;
      const image = new OffscreenCanvas(frames, rows), data = new ImageData(frames, rows);
      const [red, green, blue] = rgb(ink);
      for (let frame = 0; frame < frames; frame++) {
        for (let row = 0; row < rows; row++) {
          const place = ((rows - 1 - row) * frames + frame) * 4;
          const level = levels[frame * rows + row] / 255;
          data.data.set([red, green, blue, 230 * level ** 2.5], place);
        }
      }
      image.getContext("2d").putImageData(data, 0, 0);
      this.tiles.set(number, image);
      this.draw();
    }).catch(() => this.tiles.delete(number));
    return null;
  }

  paintNotes(paint, colour, width) {
    const from = this.timeAt(GUTTER) - 0.01, to = this.timeAt(width), text = colour("--text");
    const shown = this.notes.all.filter(note => note.offset > from && note.onset < to);
    shown.sort((a, b) => (a.part === this.part) - (b.part === this.part));
    for (const note of shown) {
      const x = this.x(note.onset), y = this.y(note.pitch), w = Math.max((note.offset - note.onset) * this.zoom, 2);
      paint.globalAlpha = note.part === this.part ? 0.95 : 0.5;
      paint.fillStyle = this.colours[note.part % this.colours.length];
      paint.fillRect(x, y + 1, w, this.row - 2);
      paint.globalAlpha = 1;
      if (this.notes.chosen.has(note.id)) {
        paint.strokeStyle = text;
        paint.lineWidth = 2;
        paint.strokeRect(x - 1, y, w + 2, this.row);
      }
    }
  }

  paintGutter(paint, colour, height) {
    paint.fillStyle = colour("--card");
    paint.fillRect(0, 0, GUTTER, height);
    paint.font = "11px system-ui, sans-serif";
    for (let pitch = this.picture.lowest; pitch <= this.top; pitch++) {
      const y = this.y(pitch);
      if (BLACK.has(pitch % 12)) { paint.fillStyle = colour("--key"); paint.fillRect(0, y, GUTTER * 0.55, this.row - 1); }
      if (pitch % 12 === 0) { paint.fillStyle = colour("--text"); paint.fillText(pitchName(pitch), GUTTER - 20, y + this.row - 2); }
    }
    paint.fillStyle = colour("--line");
    paint.fillRect(GUTTER - 1, 0, 1, height);
  }

  paintRuler(paint, colour, width) {
    paint.fillStyle = colour("--card");
    paint.fillRect(0, 0, width, RULER);
    paint.fillStyle = colour("--line");
    paint.fillRect(0, RULER - 1, width, 1);
    const step = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120].find(each => each * this.zoom >= 60) || 300;
    for (let time = Math.ceil(this.timeAt(GUTTER) / step) * step; time <= this.timeAt(width); time += step) {
      paint.fillStyle = colour("--line");
      paint.fillRect(this.x(time), RULER - 7, 1, 6);
      paint.fillStyle = colour("--soft");
      paint.fillText(clock(time, step < 1 ? 2 : 0), this.x(time) + 3, RULER - 8);
    }
    if (this.span) {
      paint.fillStyle = colour("--accent");
      paint.fillRect(this.x(this.span[0]), RULER - 5, (this.span[1] - this.span[0]) * this.zoom, 4);
    }
  }

  // -- the pointer --

  noteAt(x, y) {
    const pitch = this.pitchAt(y), time = this.timeAt(x), near = EDGE / this.zoom;
    const here = this.notes.all.filter(note => note.pitch === pitch && time >= note.onset - near / 2 && time <= note.offset + near / 2);
    here.sort((a, b) => (b.part === this.part) - (a.part === this.part) || a.offset - a.onset - (b.offset - b.onset));
    return here[0];
  }

  down(event) {
    if (event.button || !this.picture) return;
    const [x, y] = [event.offsetX, event.offsetY];
    this.canvas.focus({preventScroll: true});
    if (y < RULER && x > GUTTER) this.drag = {kind: "span", from: this.timeAt(x), x};
    else if (x <= GUTTER) { this.act.hear({onset: 0, offset: 0.4, pitch: this.pitchAt(y), velocity: 90, part: this.part}); return; }
    else this.grip(event, x, y);
    if (!this.drag) return;
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone */ }
  }

  // Take hold of a note, begin a new one, or begin a band around several.
  grip(event, x, y) {
    const note = this.noteAt(x, y), {notes} = this;
    if (!note && this.pencil && this.editable) {
      const begun = notes.add(this.part, this.timeAt(x), this.timeAt(x) + NEW_NOTE, this.pitchAt(y));
      this.act.hear(begun);
      this.drag = {kind: "offset", x, y, from: notes.all, begun: true};
      return;
    }
    if (!note) {
      if (event.pointerType !== "touch") this.drag = {kind: "band", x, y, before: event.shiftKey ? new Set(notes.chosen) : new Set()};
      if (!event.shiftKey) this.act.choose([]);
      return;
    }
    if (event.shiftKey || event.ctrlKey) {
      const chosen = new Set(notes.chosen);
      if (!chosen.delete(note.id)) chosen.add(note.id);
      this.act.choose([...chosen]);
    } else if (!notes.chosen.has(note.id)) this.act.choose([note.id]);
    this.act.hear(note);
    const left = x - this.x(note.onset), right = this.x(note.offset) - x, wide = left + right > 3 * EDGE;
    const kind = wide && right < EDGE ? "offset" : wide && left < EDGE ? "onset" : "move";
    if (this.editable) this.drag = {kind, x, y, from: notes.all};
  }

  move(event) {
    const [x, y] = [event.offsetX, event.offsetY], {drag, notes} = this;
    if (!drag) {
      const note = this.picture && y > RULER && x > GUTTER ? this.noteAt(x, y) : null;
      const edge = note && (this.x(note.offset) - x < EDGE || x - this.x(note.onset) < EDGE);
      this.canvas.style.cursor = note ? edge ? "ew-resize" : "grab" : "";
      return;
    }
    if (!drag.moved && Math.abs(x - drag.x) < 3 && Math.abs(y - (drag.y ?? y)) < 3) return;
    if (drag.kind === "span") {
      const now = this.timeAt(x);
      this.act.span([Math.min(drag.from, now), Math.max(drag.from, now)]);
    } else if (drag.kind === "band") {
      this.band = [Math.min(x, drag.x), Math.min(y, drag.y), Math.abs(x - drag.x), Math.abs(y - drag.y)];
      const [low, high] = [this.pitchAt(Math.max(y, drag.y)), this.pitchAt(Math.min(y, drag.y))];
      const [from, to] = [this.timeAt(Math.min(x, drag.x)), this.timeAt(Math.max(x, drag.x))];
      const inside = notes.all.filter(note => note.part === this.part && note.pitch >= low && note.pitch <= high
        && note.offset > from && note.onset < to);
      this.act.choose([...drag.before, ...inside.map(note => note.id)]);
    } else this.changeBy((x - drag.x) / this.zoom, Math.round((drag.y - y) / this.row), drag);
    drag.moved = true;
  }

  changeBy(seconds, keys, {kind, from, moved, begun}) {
    const how = kind === "offset" ? note => ({offset: Math.max(note.offset + seconds, note.onset + SHORTEST_NOTE)})
      : kind === "onset" ? note => ({onset: Math.min(note.onset + seconds, note.offset - SHORTEST_NOTE)})
      : note => ({onset: note.onset + seconds, offset: note.offset + seconds, pitch: note.pitch + keys});
    this.notes.change(how, this.seconds, from, Boolean(moved || begun));
  }

  up(event) {
    const {drag} = this;
    this.drag = this.band = null;
    if (drag && drag.kind === "span" && !drag.moved) { this.act.span(null); this.act.seek(drag.from); }
    if (drag && drag.kind === "move" && drag.moved && this.notes.one()) this.act.hear(this.notes.one());
    this.draw();
  }

  twice(event) {
    const [x, y] = [event.offsetX, event.offsetY];
    if (!this.editable || this.pencil || x <= GUTTER || y < RULER || this.noteAt(x, y)) return;
    this.act.hear(this.notes.add(this.part, this.timeAt(x), this.timeAt(x) + NEW_NOTE, this.pitchAt(y)));
  }
}

export function clock(seconds, digits = 1) {
  const minutes = Math.floor(seconds / 60), rest = seconds - 60 * minutes;
  return `${minutes}:${rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

function rgb(colour) {
  const paint = new OffscreenCanvas(1, 1).getContext("2d");
  paint.fillStyle = colour;
  paint.fillRect(0, 0, 1, 1);
  return paint.getImageData(0, 0, 1, 1).data;
}
