import { tick } from 'svelte';

/** Where the page is: the path and query of its address. */
class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));

  constructor() {
    window.addEventListener('popstate', () => this.read());
    document.addEventListener('click', (e) => this.click(e));
  }

  private read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  /** Goes to another view; what it is called is read out, for its heading takes the focus. */
  async go(to: string): Promise<void> {
    history.pushState(null, '', to);
    this.read();
    scrollTo(0, 0);
    await this.arrive();
  }

  /** Gives the focus to the heading of a view that is new to the reader. */
  async arrive(): Promise<void> {
    await tick();
    document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
  }

  /** Writes values into the query, so that the view can be reloaded, kept and shared. An empty one is left out. */
  ask(values: Record<string, string>): void {
    const query = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(values)) {
      if (value === '') query.delete(key);
      else query.set(key, value);
    }
    const text = query.toString();
    history.replaceState(null, '', location.pathname + (text && `?${text}`));
    this.query = query;
  }

  private click(e: MouseEvent): void {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    const link = (e.target as Element).closest<HTMLAnchorElement>('a[href]');
    if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download')) return;
    if (link.pathname.startsWith('/api/') || link.hash) return;
    e.preventDefault();
    void this.go(link.pathname + link.search);
  }
}

export const router = new Router();
