import type { PartyRecord, ThreadMessage } from './types';

/** The people of a conversation, always in the same order, whoever wrote first. Pure. */
export function sides(messages: readonly Pick<ThreadMessage, 'sender' | 'recipient'>[]): PartyRecord[] {
  const found = new Map<string, PartyRecord>();
  for (const m of messages) {
    for (const p of [m.sender, m.recipient]) found.set(p.user ?? p.aor ?? '', p);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, p]) => p);
}

/** Whether two moments are on different days, where the reader is. Pure. */
export function newDay(before: string | undefined, at: string): boolean {
  return before === undefined || new Date(before).toDateString() !== new Date(at).toDateString();
}
