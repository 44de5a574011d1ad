import { prefix } from './api';
import { clock } from './clock.svelte';
import type { paths } from './schema.gen';
import { session } from './session.svelte';
import type { LiveCall, Overview } from './types';
import { SvelteMap } from 'svelte/reactivity';
import { api } from './api';

type Told = paths['/events']['get']['responses'][200]['content']['text/event-stream'][number];
type Name = Told['event'];
type DataOf<N extends Name> = Extract<Told, { event: N }>['data'];

/** Who wants to hear of what. resync is told when lists must be fetched anew: events may have been missed. */
export type Listener = { [N in Name]?: (data: DataOf<N>) => void } & { resync?: () => void };

const names: readonly Name[] = ['registration', 'registration-ended', 'presence', 'call', 'call-ended', 'user', 'overview', 'record', 'alarm', 'update'];

const firstPause = 1000; // ms
const longestPause = 30_000;
const silence = 25_000; // ms: the box tells its overview every 5 s while a page is open

/** The stream of what happens on the box, connected again and again. */
class Live {
  state = $state<'connecting' | 'live' | 'broken'>('connecting');
  overview = $state.raw<Overview | null>(null);
  calls = new SvelteMap<string, LiveCall>();
  callsKnown = $state(false);

  private source: EventSource | null = null;
  private listeners = new Set<Listener>();
  private pause = firstPause;
  private again: ReturnType<typeof setTimeout> | undefined;
  private watchdog: ReturnType<typeof setInterval> | undefined;
  private heard = 0;
  private callEvents: (() => void)[] | null = null; // what happened while the list of calls was on its way

  start(): void {
    this.stop();
    this.state = 'connecting';
    this.connect();
    this.watchdog = setInterval(() => this.listen(), 5000);
  }

  stop(): void {
    clearTimeout(this.again);
    clearInterval(this.watchdog);
    this.source?.close();
    this.source = null;
    this.calls.clear();
    this.callsKnown = false;
    this.overview = null;
  }

  /** Adds a listener; returns what removes it. */
  on(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Connects at once instead of after the pause. */
  retry(): void {
    clearTimeout(this.again);
    this.connect();
  }

  private connect(): void {
    const source = new EventSource(`${prefix}/events`);
    this.source = source;
    this.heard = performance.now();
    source.onopen = () => this.opened();
    source.onerror = () => this.lost(source);
    for (const name of names) {
      source.addEventListener(name, (e) => {
        this.heard = performance.now();
        this.take({ event: name, data: JSON.parse((e as MessageEvent<string>).data) } as Told);
      });
    }
  }

  private opened(): void {
    this.pause = firstPause;
    this.state = 'live';
    session.touched();
    void this.fetchCalls();
    for (const l of this.listeners) l.resync?.();
  }

  /** The browser would try again by itself, but at one pace and without asking whether we are still signed in. */
  private lost(source: EventSource): void {
    source.close();
    if (source !== this.source) return;
    this.source = null;
    this.state = 'broken';
    this.again = setTimeout(async () => {
      await session.check();
      if (session.state === 'in') this.connect();
    }, this.pause * (0.75 + Math.random() / 2)); // not all pages at the same moment
    this.pause = Math.min(this.pause * 2, longestPause);
  }

  /** A connection that died without a word, as under a sleeping laptop, is noticed by its silence. */
  private listen(): void {
    if (this.source && performance.now() - this.heard > silence) this.lost(this.source);
  }

  private take(told: Told): void {
    switch (told.event) {
      case 'overview':
        this.overview = told.data;
        clock.learn(told.data.at);
        break;
      case 'call':
        this.callChanged(() => this.calls.set(told.data.id, told.data));
        break;
      case 'call-ended':
        this.callChanged(() => this.calls.delete(told.data.id));
        break;
    }
    for (const l of this.listeners) (l[told.event] as ((data: unknown) => void) | undefined)?.(told.data);
  }

  private callChanged(apply: () => void): void {
    this.callEvents?.push(apply);
    apply();
  }

  /** Fetches the calls, then repeats what happened meanwhile: the list may be older than the events. */
  private async fetchCalls(): Promise<void> {
    const meanwhile: (() => void)[] = [];
    this.callEvents = meanwhile;
    try {
      const list = await api.get('/calls');
      if (this.callEvents !== meanwhile) return; // a later fetch is on its way
      const there = new Set(list.calls.map((c) => c.id));
      for (const id of [...this.calls.keys()]) if (!there.has(id)) this.calls.delete(id);
      for (const c of list.calls) this.calls.set(c.id, c);
      for (const apply of meanwhile) apply();
      this.callsKnown = true;
    } catch {
      // switchd is away; its calls are told again when it is back
    } finally {
      if (this.callEvents === meanwhile) this.callEvents = null;
    }
  }
}

export const live = new Live();
