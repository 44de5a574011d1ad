import { api, watch } from './api';
import { asProblem } from './problem';
import type { Me } from './types';

export type SessionState = 'starting' | 'setup' | 'out' | 'in' | 'unreachable';

const touchAfter = 60_000; // ms: while somebody works here, the box hears of it this often
const warnBefore = 60_000; // ms before the sign-in ends

/** Who is signed in, and for how long. */
class Session {
  state = $state<SessionState>('starting');
  me = $state<Me | null>(null);
  /** Why the sign-in form is shown. */
  why = $state<'' | 'expired' | 'left'>('');
  /** When the box heard of us last. */
  heard = $state(Date.now());

  constructor() {
    watch({
      answered: () => this.touched(),
      refused: (kind, code) => this.refused(kind, code),
    });
    for (const event of ['pointerdown', 'keydown'] as const) {
      document.addEventListener(event, () => this.active(), { passive: true });
    }
  }

  /** Finds out whether the box is set up and whether the cookie still holds. */
  async start(): Promise<void> {
    try {
      const status = await api.get('/status');
      if (!status.set_up) {
        this.state = 'setup';
        return;
      }
      await this.takeOver();
      this.enter(await api.get('/session'));
    } catch (thrown) {
      if (asProblem(thrown).kind === 'unsigned') this.state = 'out';
      else this.state = 'unreachable';
    }
  }

  /** Takes a sign-in along that was open at another address of the box, if the address bar brings one. */
  private async takeOver(): Promise<void> {
    const code = new URLSearchParams(location.hash.slice(1)).get('take');
    if (!code) return;
    history.replaceState(null, '', location.pathname + location.search);
    try {
      await api.post('/session/take-over', { body: { code } });
    } catch {
      // used already or too old: the sign-in form is shown
    }
  }

  enter(me: Me): void {
    this.me = me;
    this.why = '';
    this.touched();
    this.state = 'in';
  }

  async leave(): Promise<void> {
    try {
      await api.delete('/session');
    } finally {
      this.out('left');
    }
  }

  /** Asks the box whether we are still signed in; also keeps the sign-in alive. */
  async check(): Promise<void> {
    try {
      await api.get('/session');
    } catch {
      // a refusal has been noted by the watcher; an absence is seen by the live connection
    }
  }

  /** Milliseconds until the sign-in ends without a sign of life. */
  left(now: number): number {
    if (this.state !== 'in' || !this.me?.idle) return Number.POSITIVE_INFINITY;
    const idle = this.heard + this.me.idle * 1000 - now;
    return Math.min(idle, this.whole(now));
  }

  /** The sign-in ends soon whatever anybody does: it has its longest time. */
  final(now: number): boolean {
    return this.whole(now) < warnBefore;
  }

  private whole(now: number): number {
    return this.me?.ends ? Date.parse(this.me.ends) - now : Number.POSITIVE_INFINITY;
  }

  /** The sign-in ends soon and nobody seems to be here. */
  warns(now: number): boolean {
    return this.left(now) < warnBefore;
  }

  touched(): void {
    this.heard = Date.now();
  }

  private active(): void {
    const now = Date.now();
    if (this.state === 'in' && now - this.heard > touchAfter && !this.warns(now)) void this.check();
  }

  private refused(kind: string, code: string): void {
    if (code === 'setup.required') this.state = 'setup';
    else if (kind === 'unsigned' && this.state === 'in') this.out('expired');
  }

  private out(why: 'expired' | 'left'): void {
    this.me = null;
    this.why = why;
    this.state = 'out';
  }
}

export const session = new Session();
