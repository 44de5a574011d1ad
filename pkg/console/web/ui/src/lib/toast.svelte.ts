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
    this.add('good', text);
  }

  bad(text: string): void {
    this.add('bad', text);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((t) => t.id !== id);
  }

  private add(kind: Toast['kind'], text: string): void {
    const id = ++this.last;
    this.list = [...this.list.slice(-3), { id, kind, text }];
    if (kind === 'good') setTimeout(() => this.dismiss(id), shownFor); // bad news stays until it was read
  }
}

export const toasts = new Toasts();
