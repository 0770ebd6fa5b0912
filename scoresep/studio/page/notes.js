// The notes: an array that is never changed, only replaced, so that undoing is putting an older one back.
// A note is {id, part, onset, offset, pitch, velocity}; part counts the instruments, times are seconds.

const KEPT = 500;  // steps that can be undone
export const SHORTEST_NOTE = 0.03;

export class Notes {
  constructor() {
    this.all = [];
    this.chosen = new Set();
    this.past = [];
    this.future = [];
    this.next = 1;
    this.heard = () => {};  // called after every change
  }

  // Rows by instrument, as the server keeps them.
  load(names, tables) {
    this.names = names;
    this.all = this.fromTables(tables);
    this.past = [];
    this.future = [];
    this.chosen.clear();
    this.heard(false);
  }

  fromTables(tables) {
    return this.names.flatMap((name, part) => (tables[name] || []).map(([onset, offset, pitch, velocity]) =>
      ({id: this.next++, part, onset, offset, pitch, velocity})));
  }

  toTables() {
    const tables = Object.fromEntries(this.names.map(name => [name, []]));
    const rounded = value => Math.round(value * 1e4) / 1e4;
    for (const note of this.all) {
      tables[this.names[note.part]].push([rounded(note.onset), rounded(note.offset), note.pitch, note.velocity]);
    }
    for (const rows of Object.values(tables)) rows.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
    return tables;
  }

  // Replace the notes; a gesture that goes on (a drag) is one step.
  put(all, goesOn = false) {
    if (!goesOn) {
      this.past.push(this.all);
      if (this.past.length > KEPT) this.past.shift();
      this.future = [];
    }
    this.all = all;
    this.heard(true);
  }

  undo() { this.swap(this.past, this.future); }
  redo() { this.swap(this.future, this.past); }

  swap(from, to) {
    if (!from.length) return;
    to.push(this.all);
    this.all = from.pop();
    const ids = new Set(this.all.map(note => note.id));
    this.chosen = new Set([...this.chosen].filter(id => ids.has(id)));
    this.heard(true);
  }

  add(part, onset, offset, pitch, velocity = 90) {
    const note = {id: this.next++, part, onset, offset: Math.max(offset, onset + SHORTEST_NOTE), pitch, velocity};
    this.chosen = new Set([note.id]);
    this.put([...this.all, note]);
    return note;
  }

  remove() {
    if (!this.chosen.size) return;
    const left = this.all.filter(note => !this.chosen.has(note.id));
    this.chosen.clear();
    this.put(left);
  }

  // Change the chosen notes, taken from `from` (what they were when a drag began) if that is given.
  change(how, end, from = this.all, goesOn = false) {
    if (!this.chosen.size) return;
    const held = note => {
      const onset = Math.min(Math.max(note.onset, 0), Math.max(end - SHORTEST_NOTE, 0));
      const offset = Math.min(Math.max(note.offset, onset + SHORTEST_NOTE), Math.max(end, onset + SHORTEST_NOTE));
      return {...note, onset, offset, pitch: Math.min(Math.max(note.pitch, 21), 108)};
    };
    this.put(from.map(note => this.chosen.has(note.id) ? held({...note, ...how(note)}) : note), goesOn);
  }

  give(part) { this.change(() => ({part}), Infinity); }

  one() { return this.chosen.size === 1 ? this.all.find(note => this.chosen.has(note.id)) : null; }

  // Choose the note after (or before) the chosen one, of the given instrument.
  step(direction, part, from) {
    const own = this.all.filter(note => note.part === part).sort((a, b) => a.onset - b.onset || a.pitch - b.pitch);
    if (!own.length) return null;
    const now = this.one();
    let place = now && now.part === part ? own.findIndex(note => note.id === now.id) + direction
      : direction > 0 ? own.findIndex(note => note.onset >= from) : own.findLastIndex(note => note.onset <= from);
    place = Math.min(Math.max(place, 0), own.length - 1);
    this.chosen = new Set([own[place].id]);
    this.heard(false);
    return own[place];
  }
}

const LETTERS = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
export const pitchName = pitch => LETTERS[pitch % 12] + (Math.floor(pitch / 12) - 1);
