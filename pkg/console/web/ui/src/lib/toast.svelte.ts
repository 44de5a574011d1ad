export interface Toast {
  id: number;
  kind: 'good' | 'bad';
  text: string;
}

const shownFor = 6000; // ms: two lines are read twice in it

/** Short messages that come and go, read out as they come. */
class Toasts {
  list = $state<Toast[]>([]);
  private last = 0;

  good(text: string): void {
    this.add('good', text, shownFor);
  }

  /** A failure of what the reader did stays until he has read it. */
  bad(text: string): void {
    this.add('bad', text, Number.POSITIVE_INFINITY);
  }

  /** Bad news that stands elsewhere on the page, too. */
  warn(text: string): void {
    this.add('bad', text, 2 * shownFor);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((t) => t.id !== id);
  }

  private add(kind: Toast['kind'], text: string, time: number): void {
    const id = ++this.last;
    this.list = [...this.list.slice(-3), { id, kind, text }];
    if (Number.isFinite(time)) setTimeout(() => this.dismiss(id), time);
  }
}

export const toasts = new Toasts();
