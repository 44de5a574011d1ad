// Geometry of a call's picture: one bar per leg, from left to right in time. Pure.
import type { CallRecord, LegRecord } from './types';

export type Phase = 'trying' | 'ringing' | 'talking';

export interface Piece {
  phase: Phase;
  from: number; // 0 to 1
  to: number;
  ms: number;
}

export interface Bar {
  leg: LegRecord;
  pieces: Piece[];
  end: number;
}

export interface Mark {
  at: number; // 0 to 1
  ms: number; // since the call began
}

export interface Picture {
  bars: Bar[];
  marks: Mark[];
}

// Each stretch between two events has at least this share of the width: seconds of ringing must
// be seen beside an hour of talking.
const least = 0.14;

const time = (t: string | undefined): number | null => {
  const ms = t ? Date.parse(t) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
};

export function picture(call: CallRecord): Picture {
  const begin = Date.parse(call.start);
  const events = new Set<number>([begin, Math.max(begin, time(call.end) ?? begin)]);
  for (const leg of call.legs) {
    for (const t of [leg.start, leg.ring, leg.answer, leg.end]) {
      const ms = time(t);
      if (ms !== null && ms >= begin) events.add(ms);
    }
  }
  const marks = spread([...events].sort((a, b) => a - b), begin);
  const at = (ms: number) => place(marks, ms - begin);
  return { marks, bars: call.legs.map((leg) => bar(leg, at)) };
}

/** Gives each moment its place: half of the width is shared by time, but no stretch is too narrow. */
function spread(moments: number[], begin: number): Mark[] {
  const close = 100; // ms: what is closer is one moment to the eye
  const kept = moments.filter((m, i) => i === 0 || m - moments[i - 1]! >= close);
  const gaps = kept.slice(1).map((m, i) => m - kept[i]!);
  const total = gaps.reduce((a, b) => a + b, 0) || 1;
  const narrow = Math.min(least, 1 / Math.max(1, gaps.length));
  const rest = 1 - narrow * gaps.length;
  let x = 0;
  return kept.map((m, i) => {
    if (i > 0) x += narrow + rest * (gaps[i - 1]! / total);
    return { at: i === kept.length - 1 && i > 0 ? 1 : x, ms: m - begin };
  });
}

function place(marks: Mark[], ms: number): number {
  for (let i = marks.length - 1; i >= 0; i--) {
    const here = marks[i]!;
    const next = marks[i + 1];
    if (ms < here.ms) continue;
    if (!next) return here.at;
    return here.at + (next.at - here.at) * ((ms - here.ms) / (next.ms - here.ms));
  }
  return 0;
}

function bar(leg: LegRecord, at: (ms: number) => number): Bar {
  const start = Date.parse(leg.start);
  const end = Math.max(start, time(leg.end) ?? start);
  const ring = time(leg.ring);
  const answer = time(leg.answer);
  const pieces: Piece[] = [];
  const add = (phase: Phase, from: number, to: number) => {
    if (to > from) pieces.push({ phase, from: at(from), to: at(to), ms: to - from });
  };
  add('trying', start, Math.min(ring ?? answer ?? end, answer ?? end));
  if (ring !== null) add('ringing', ring, answer ?? end);
  if (answer !== null) add('talking', answer, end);
  return { leg, pieces, end: at(end) };
}
