import { api } from './api';
import { pageAddresses, pageAt, type Entry } from './netdoc';
import { asProblem, type Problem } from './problem';
import { session } from './session.svelte';
import type { Fault, NetCandidate, NetDocument, NetPlan, NetState } from './types';

const patience = 10_000; // ms: an answer that takes longer is lost with the address that it was to come from

/** What a proposal is: a document, or the number of an earlier revision. */
export type Wish = { document: Entry } | { restore: number };

/** The network of the box, the change that an admin prepares, and the one that waits for its confirmation. */
class Net {
  now = $state.raw<NetDocument | null>(null);
  state = $state.raw<NetState | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** The document as it shall be; null where nothing is prepared. */
  draft = $state.raw<Entry | null>(null);
  /** Of the network that the draft was made from. */
  base = 0;
  /** What the box finds wrong with the draft. */
  faults = $state.raw<Fault[]>([]);
  /** What is proposed in the dialog that shows the plan. */
  wish = $state.raw<Wish | null>(null);
  /** The box did not answer when it was asked last. */
  lost = $state(false);
  /** Opens this sign-in at the box's new address. */
  ticket = '';

  get document(): Entry {
    return this.draft ?? (this.now?.document as Entry | undefined) ?? {};
  }

  get candidate(): NetCandidate | null {
    return this.now?.candidate ?? null;
  }

  get planOnly(): boolean {
    return this.state?.mode === 'plan-only';
  }

  async load(signal?: AbortSignal): Promise<void> {
    try {
      const [now, state] = await Promise.all([api.get('/network', { signal }), api.get('/network/state', { signal })]);
      this.now = now;
      this.state = state;
      this.problem = null;
      this.lost = false;
    } catch (thrown) {
      this.problem = asProblem(thrown);
      this.lost = thrown instanceof DOMException || this.problem.kind === 'offline';
    }
  }

  /** Prepares a change. Its faults are known when this is done. */
  async prepare(document: Entry): Promise<Fault[]> {
    if (!this.draft) this.base = this.now?.revision ?? 0;
    this.draft = document;
    this.faults = await this.wrong(document);
    return this.faults;
  }

  /** Everything that the box finds wrong with a document. */
  async wrong(document: Entry): Promise<Fault[]> {
    try {
      await this.plan({ document });
      return [];
    } catch (thrown) {
      const p = asProblem(thrown);
      if (p.faults.length > 0) return p.faults;
      throw p;
    }
  }

  discard(): void {
    this.draft = null;
    this.faults = [];
  }

  plan(wish: Wish): Promise<NetPlan> {
    return api.post('/network/plan', { body: wish, revision: this.revisionOf(wish) } as never);
  }

  /** Applies a change. The answer may be lost with the address that it was to come from: the countdown runs all the same. */
  async apply(wish: Wish, seconds: number, changes: string[]): Promise<void> {
    const begun = Date.now();
    const body = { ...wish, confirm_seconds: seconds };
    let candidate: NetCandidate;
    this.ticket = (await api.post('/session/handover')).code;
    try {
      candidate = await api.post('/network/apply', { body, revision: this.revisionOf(wish), signal: AbortSignal.timeout(patience) } as never);
    } catch (thrown) {
      if (!(thrown instanceof DOMException) && asProblem(thrown).kind !== 'offline') throw thrown;
      const document = 'document' in wish ? wish.document : {};
      candidate = { document: document as never, base: this.now?.revision ?? 0, who: session.me?.name ?? '', at: new Date(begun).toISOString(), until: new Date(begun + seconds * 1000).toISOString(), changes };
      this.lost = true;
    }
    if (this.now) this.now = { ...this.now, candidate };
    this.wish = null;
    this.discard();
  }

  async confirm(): Promise<void> {
    await api.post('/network/confirm');
    await this.load();
  }

  async revert(): Promise<void> {
    await api.post('/network/revert');
    await this.load();
  }

  private revisionOf(wish: Wish): number {
    return 'document' in wish && this.draft ? this.base : (this.now?.revision ?? 0);
  }

  /** Where the page may be found while a change holds and after it, this place left out. */
  elsewhere(): string[] {
    const all = [this.candidate?.document, this.now?.document].flatMap((d) => (d ? pageAddresses(d as Entry) : []));
    return [...new Set(all.map((a) => pageAt(a, location.port)))].filter((origin) => origin !== location.origin);
  }

  /** Goes to the box at another address, with this sign-in. */
  follow(origin: string): void {
    location.assign(`${origin}/network${this.ticket && `#take=${this.ticket}`}`);
  }
}

export const net = new Net();
