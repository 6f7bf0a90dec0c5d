// Who would be kept: judge's rules over everybody's measures, kept up to date as thresholds move.
// A measure is a column of 16-bit codes that grow with the value. A threshold is a cut among them: moving it changes nobody
// but those whose code lies between the old cut and the new one.

const FPS = 25;
const NULL = 65535; // not measured
const NOT_ASKED = 65534; // sound, of a clip without any; the codes of values lie below
const KEEP = 1;
const DROP = 2;
const UNSURE = 3;
const FLAG = { kept: 1, overridden: 2, drawn: 4, incomplete: 8, costly: 16 }; // costly: the first of a bit for each such kind

// The number of sorted levels below a value; with `within`, at or below it.
function place(levels, value, within) {
  let low = 0;
  let high = levels.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (within ? levels[middle] <= value : levels[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

class Measure {
  constructor([codes, levels, exact], side) {
    Object.assign(this, { codes: unpack(codes), levels: unpack(levels), exact, side });
  }

  // The limit that is compared in place of this one: itself, or the nearest edge where values share codes.
  snapped(limit) {
    if (this.exact || !this.levels.length) return limit;
    const after = Math.min(place(this.levels, limit, false), this.levels.length - 1);
    const before = Math.max(0, after - 1);
    return limit - this.levels[before] < this.levels[after] - limit ? this.levels[before] : this.levels[after];
  }

  // The code from which people pass ("min") or fail ("max"); null is off.
  cut(limit) {
    if (limit === null) return this.side === "min" ? 0 : NOT_ASKED;
    return place(this.levels, limit, !this.exact || this.side === "max");
  }

  value(index) {
    const code = this.codes[index];
    if (code >= NOT_ASKED) return null;
    if (this.exact) return this.levels[code];
    return this.levels[Math.min(this.side === "min" ? Math.max(0, code - 1) : code, this.levels.length - 1)];
  }
}

// Figures are kept up to date person by person: `#weigh` adds or takes all that one contributes.
class Recount {
  // thresholds: of the summary; they take part once `add` brings their measure.
  constructor(people, thresholds, reasons) {
    const { count: n } = people;
    Object.assign(this, { people, thresholds, reasons });
    this.measures = new Map(); // threshold -> Measure
    this.limits = new Map(thresholds.map((check) => [check, null]));
    this.cuts = new Map();
    this.failed = new Uint8Array(n); // thresholds that speak against each
    this.sum = new Uint16Array(n); // of their numbers, so that a lone one is known
    this.ofReason = reasons.map(() => null); // thresholds of that reason against each
    this.mask = new Uint32Array(n); // reasons against each, a bit each
    this.forced = new Uint8Array(n); // KEEP or DROP by people's decisions
    this.kept = new Uint8Array(n);
    this.notMeasured = reasons.findIndex(([code]) => code === "not_measured");
    this.overridden = reasons.findIndex(([code]) => code === "overridden");
    this.asked = 0; // bits of the flags of costly kinds on which there is a limit
    this.all();
  }

  add(check, measure) {
    this.measures.set(check, measure);
    this.cuts.set(check, measure.cut(null));
    this.ofReason[check.reason] ||= new Uint8Array(this.people.count);
  }

  set(check, limit) {
    const measure = this.measures.get(check);
    this.limits.set(check, limit);
    this.#ask();
    if (!measure) return;
    const before = this.cuts.get(check);
    const after = measure.cut(limit);
    if (before === after) return;
    this.cuts.set(check, after);
    const low = Math.min(before, after);
    const worse = check.side === "min" ? after > before : after < before;
    this.#move(measure.codes, low, Math.max(before, after) - low, check, worse ? 1 : -1);
  }

  #ask() {
    let bits = 0;
    this.limits.forEach((limit, check) => {
      if (limit !== null && check.kind !== null) bits |= FLAG.costly << check.kind;
    });
    if (bits === this.asked) return;
    this.asked = bits;
    this.all();
  }

  // Adds or takes a failure where the code lies in [low, low + span).
  #move(codes, low, span, check, step) {
    const { failed, sum, mask } = this;
    const own = this.ofReason[check.reason];
    const bit = 1 << check.reason;
    const at = step * this.thresholds.indexOf(check);
    for (let i = 0; i < codes.length; i += 1) {
      if (((codes[i] - low) >>> 0) >= span) continue;
      this.#weigh(i, -1);
      failed[i] += step;
      sum[i] += at;
      own[i] += step;
      mask[i] = own[i] ? mask[i] | bit : mask[i] & ~bit;
      this.#weigh(i, 1);
    }
  }

  fails(check, index) {
    const measure = this.measures.get(check);
    const code = measure ? measure.codes[index] : NULL;
    return code < NOT_ASKED && (check.side === "min" ? code < this.cuts.get(check) : code >= this.cuts.get(check));
  }

  // The reasons against one, as judge would list them.
  against(index) {
    const { fixed, flags } = this.people;
    let found = (this.mask[index] | fixed[index]) >>> 0;
    if (!found && flags[index] & FLAG.incomplete) found = 1 << this.notMeasured;
    return this.forced[index] === DROP ? (found | (1 << this.overridden)) >>> 0 : found;
  }

  // Counts everybody anew.
  all() {
    const { count: n, clip } = this.people;
    this.ofClip = new Uint8Array(n ? clip[n - 1] + 1 : 0); // people kept, of each clip
    const lines = this.reasons.map(() => ({ any: 0, only: 0, frames: 0, onlyFrames: 0 }));
    const alone = new Uint32Array(this.thresholds.length);
    this.figures = { people: 0, clips: 0, frames: 0, came: 0, went: 0, unmeasured: 0, byVote: 0, lines, alone };
    for (let i = 0; i < n; i += 1) this.#weigh(i, 1);
  }

  #weigh(i, sign) {
    const { flags, frames, clip, fixed } = this.people;
    const { figures, forced, failed, ofClip } = this;
    let against = this.against(i);
    const stays = forced[i] ? forced[i] === KEEP : !against;
    const was = flags[i] & FLAG.kept;
    this.kept[i] = stays ? 1 : 0;
    if (forced[i]) figures.byVote += sign;
    if (stays) {
      figures.people += sign;
      figures.frames += sign * frames[i];
      if (sign > 0 ? !ofClip[clip[i]] : ofClip[clip[i]] === 1) figures.clips += sign;
      ofClip[clip[i]] += sign;
      if (!was) figures.came += sign;
      if (flags[i] & this.asked) figures.unmeasured += sign;
      return;
    }
    if (was) figures.went += sign;
    if (failed[i] === 1 && !fixed[i] && !forced[i] && !(flags[i] & FLAG.incomplete)) figures.alone[this.sum[i]] += sign;
    const single = (against & (against - 1)) === 0;
    for (; against; against &= against - 1) {
      const line = figures.lines[31 - Math.clz32(against & -against)];
      line.any += sign;
      line.frames += sign * frames[i];
      if (!single) continue;
      line.only += sign;
      line.onlyFrames += sign * frames[i];
    }
  }

  // The figures, and how many each threshold speaks against.
  totals() {
    const drops = this.thresholds.map((check) => {
      const measure = this.measures.get(check);
      return measure && this.limits.get(check) !== null ? below(measure, this.cuts.get(check)) : 0;
    });
    return { ...this.figures, drops };
  }
}

// How many fail a cut, from the counts of codes: made once a measure.
function below(measure, cut) {
  if (!measure.upTo) {
    measure.upTo = new Uint32Array(measure.levels.length + 2);
    for (const code of measure.codes) if (code < NOT_ASKED) measure.upTo[code + 1] += 1;
    for (let at = 1; at < measure.upTo.length; at += 1) measure.upTo[at] += measure.upTo[at - 1];
  }
  const last = measure.upTo.length - 1;
  return measure.side === "min" ? measure.upTo[Math.min(cut, last)] : measure.upTo[last] - measure.upTo[Math.min(cut, last)];
}

// Everybody, once the columns are there.

const EVERYBODY = { count: 0 };

async function gatherPeople() {
  const [sheet, videos] = await Promise.all([CSG.take("people"), CSG.take("videos")]);
  const columns = Object.entries(sheet).filter(([name]) => name !== "types" && name !== "speakers");
  columns.forEach(([name, packed]) => { EVERYBODY[name] = unpack(packed); });
  Object.assign(EVERYBODY, { count: EVERYBODY.video.length, types: sheet.types, speakers: sheet.speakers, videos });
  EVERYBODY.clip = clipsOf(EVERYBODY);
  EVERYBODY.starts = startsOf(EVERYBODY.video, videos.ids.length);
  EVERYBODY.places = new Map(videos.ids.map((id, at) => [id, at]));
}

// The number of each one's clip: people of one stand together.
function clipsOf({ video, first, frames }) {
  const clip = new Uint32Array(video.length);
  for (let i = 1; i < video.length; i += 1) {
    const same = video[i] === video[i - 1] && first[i] === first[i - 1] && frames[i] === frames[i - 1];
    clip[i] = clip[i - 1] + (same ? 0 : 1);
  }
  return clip;
}

function startsOf(video, videos) {
  const starts = new Uint32Array(videos + 1).fill(video.length);
  for (let i = video.length - 1; i >= 0; i -= 1) starts[video[i]] = i;
  return starts;
}

function clipId(index) {
  const { videos, video, first, frames } = EVERYBODY;
  return `${videos.ids[video[index]]}/${first[index]}+${frames[index]}`;
}

function personId(index) {
  return `${clipId(index)}#${EVERYBODY.person[index]}`;
}

// The people that an id of a person, a clip or a video is about: their numbers, and how close it comes (2 is a person's own).
function about(id) {
  const [, name, , first, frames, person] = /^([^/]*)(\/(\d+)\+(\d+)(?:#(\d+))?)?$/.exec(id) || [];
  const video = EVERYBODY.places.get(name);
  const found = [];
  const level = first === undefined ? 0 : person === undefined ? 1 : 2;
  if (video === undefined) return { found, level };
  for (let i = EVERYBODY.starts[video]; EVERYBODY.video[i] === video; i += 1) {
    if ((level === 2 ? personId(i) : level ? clipId(i) : name) === id) found.push(i);
  }
  return { found, level };
}
