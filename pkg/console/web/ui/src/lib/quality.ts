// How a call sounded, in words. Pure.
import { fromNanos } from './format';
import type { StreamRecord } from './types';

export type Grade = 'good' | 'fair' | 'poor' | 'bad';

/** Grades of the mean opinion score that the E-model gives (ITU-T G.107 annex B: 4.0 satisfied, 3.6 some not, 3.1 many not). */
export function grade(mos: number | undefined): Grade | null {
  if (!mos) return null;
  if (mos >= 4) return 'good';
  if (mos >= 3.6) return 'fair';
  return mos >= 3.1 ? 'poor' : 'bad';
}

export type Verdict = 'silent' | 'unheard' | 'nothing' | 'lossIn' | 'lossOut' | 'jitter' | 'delay' | 'clean';

const lossHeard = 0.01; // below it concealment hides what is missing
const jitterHeard = 30; // ms; phones buffer about that much
const delayHeard = 300; // ms there and back: people begin to talk at the same time (ITU-T G.114)

/** What can be said of a stream, the worst first. Only "clean" stands alone. */
export function verdicts(s: StreamRecord): Verdict[] {
  if (s.packets_in === 0 && s.packets_out === 0) return ['nothing'];
  const all: Verdict[] = [];
  if (s.packets_in === 0) all.push('silent');
  if (s.packets_out === 0) all.push('unheard');
  if (s.packets_in > 0 && loss(measured(s), s.lost_in) >= lossHeard) all.push('lossIn');
  if (s.packets_out > 0 && s.lost_out / s.packets_out >= lossHeard) all.push('lossOut');
  if (Math.max(fromNanos(s.jitter_in), fromNanos(s.jitter_out)) > jitterHeard) all.push('jitter');
  if (fromNanos(s.round_trip ?? 0) > delayHeard) all.push('delay');
  return all.length > 0 ? all : ['clean'];
}

/** The packets received whose sequence numbers were seen: of the others nobody knows what was lost. */
export function measured(s: StreamRecord): number {
  return Math.max(0, s.packets_in - (s.unmeasured ?? 0));
}

/** The share of packets that were lost, of those that were sent. */
export function loss(arrived: number, lost: number): number {
  return arrived + lost === 0 ? 0 : lost / (arrived + lost);
}
