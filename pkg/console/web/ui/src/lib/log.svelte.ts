import { address, api } from './api';
import { live } from './live.svelte';
import { bounds, isPreset, type Preset } from './period';
import { reading } from './reading.svelte';
import { asProblem, type Problem } from './problem';
import { router } from './router.svelte';
import type { MessageRecord } from './types';

/** What all records have. */
export interface Kept {
  id: string;
}

export type LogPath = '/records/calls' | '/records/recordings' | '/records/registrations' | '/records/auth-failures' | '/records/audit' | '/messages';

const kinds: Record<LogPath, string> = {
  '/records/calls': 'call',
  '/records/recordings': 'recording',
  '/records/registrations': 'registration',
  '/records/auth-failures': 'auth',
  '/records/audit': 'audit',
  '/messages': 'message',
};

const step = 50; // records of a page
const patience = 20; // pages that a search may come back empty-handed from before the reader is asked

/** A log as the reader filters it. The filters live in the page's address. */
export class Log<R extends Kept> {
  records = $state.raw<R[]>([]);
  known = $state(false);
  busy = $state(false);
  problem = $state.raw<Problem | null>(null);
  /** How many records came since the list was fetched. */
  fresh = $state(0);
  /** Where the list goes on; empty at its end. */
  next = $state('');

  private asked = 0;
  private newcomers = new Set<string>();

  constructor(
    readonly path: LogPath,
    readonly fields: readonly string[],
    readonly standard: Preset = 'week',
  ) {}

  get preset(): Preset {
    const when = router.query.get('when');
    return isPreset(when) ? when : this.standard;
  }

  value(field: string): string {
    return router.query.get(field) ?? '';
  }

  /** How many filters beside the time are set. */
  get active(): number {
    return this.fields.filter((f) => this.value(f) !== '').length;
  }

  set(values: Record<string, string>): void {
    router.ask(values);
    void this.load();
  }

  clear(): void {
    this.set(Object.fromEntries(['when', 'from', 'to', 'text', ...this.fields].map((f) => [f, ''])));
  }

  /** The query as the API understands it. */
  query(): Record<string, string> {
    const q: Record<string, string> = this.path === '/messages' ? reading.query() : { text: this.value('text').trim() };
    for (const f of this.fields) q[f] = this.value(f).trim();
    if (q.words && !q.reason) q.words = ''; // the reason is being asked for
    const { from, to } = bounds(this.preset, new Date(), this.value('from'), this.value('to'));
    return { ...q, ...(from && { from }), ...(to && { to }) };
  }

  exportAddress(format: 'csv' | 'json'): string {
    return address(`${this.path}/export.${format}`, this.query());
  }

  /** Fetches from the newest. What is shown stays until the answer is there. */
  async load(): Promise<void> {
    await this.fetch('');
  }

  async more(): Promise<void> {
    await this.fetch(this.next);
  }

  private async fetch(before: string): Promise<void> {
    const mine = ++this.asked;
    this.busy = true;
    if (!before) this.newcomers.clear(); // what comes from now on may be in the answer or not
    const found: R[] = [];
    let cursor = before;
    try {
      for (let i = 0; i < patience; i++) {
        const page = (await api.get(this.path, { query: { ...this.query(), before: cursor, limit: step } })) as unknown as { records: R[]; next?: string };
        if (mine !== this.asked) return;
        found.push(...page.records);
        cursor = page.next ?? '';
        if (cursor === '' || found.length >= step) break; // a page may be short and still not be the last
      }
      this.records = before ? [...this.records, ...found] : found;
      this.next = cursor;
      this.known = true;
      this.problem = null;
      for (const r of found) this.newcomers.delete(r.id);
      this.fresh = this.newcomers.size;
    } catch (thrown) {
      if (mine === this.asked) this.problem = asProblem(thrown);
    } finally {
      if (mine === this.asked) this.busy = false;
    }
  }

  /** Follows what is stored: a record that is shown is replaced in its place, others are counted. */
  follow(): () => void {
    return live.on({
      resync: () => void this.recount(),
      record: ({ kind, id, record }) => {
        if (kind !== kinds[this.path]) return;
        if (this.records.some((r) => r.id === id)) {
          this.records = this.records.map((r) => (r.id === id ? this.grown(r, record as unknown as R) : r));
        } else {
          this.newcomers.add(id);
          this.fresh = this.newcomers.size;
          if (this.waits) void this.load();
        }
      },
    });
  }

  /** A message that grows is told of without what it says: that is as it was. */
  private grown(old: R, now: R): R {
    if (this.path !== '/messages') return now;
    const { text, content, files } = old as R & Partial<MessageRecord>;
    return { ...now, text, content, files };
  }

  /**
   * Counts what was stored while the connection was broken. Ids sort by time. The log of what admins
   * did is left alone, and what messages say: each look is itself written down.
   */
  private async recount(): Promise<void> {
    const newest = this.records[0]?.id;
    if (newest === undefined || this.path === '/records/audit' || this.query().reason) return;
    try {
      const page = (await api.get(this.path, { query: { ...this.query(), limit: step } })) as unknown as { records: R[] };
      if (this.records[0]?.id !== newest) return; // the list was fetched meanwhile
      for (const r of page.records) if (r.id > newest) this.newcomers.add(r.id);
      this.fresh = this.newcomers.size;
    } catch {
      // the next record or the next connection tells
    }
  }

  /** Nothing is shown and nothing but the present is asked for: the first record is shown by itself. */
  private get waits(): boolean {
    const present = this.preset !== 'yesterday' && this.preset !== 'custom';
    return this.known && this.records.length === 0 && present && this.active === 0 && this.value('text') === '';
  }
}
