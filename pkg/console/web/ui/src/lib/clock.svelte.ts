/** The time, which ticks each second while somebody looks. */
class Clock {
  now = $state(Date.now());
  /** How far the box's clock is ahead of this computer's, in milliseconds. */
  skew = $state(0);

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.now = Date.now();
    }, 1000);
    document.addEventListener('visibilitychange', () => {
      this.now = Date.now();
    });
  }

  /** Learns from a time that the box told just now. What a network's delay may be is not taken for a wrong clock. */
  learn(at: string): void {
    const skew = Date.parse(at) - Date.now();
    this.skew = Math.abs(skew) > 3000 ? skew : 0;
  }

  /** Milliseconds since a moment that the box told. */
  since(at: string): number {
    return Math.max(0, this.now + this.skew - Date.parse(at));
  }
}

export const clock = new Clock();
