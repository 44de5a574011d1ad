import type { Lang } from './format';

export type Theme = 'system' | 'light' | 'dark';

/** What the reader chose for this browser. early.js reads the same before the first paint. */
class Prefs {
  lang = $state<Lang>(document.documentElement.lang === 'hi' ? 'hi' : 'en');
  theme = $state<Theme>(readTheme());
  dark = $state(document.documentElement.dataset.theme === 'dark');

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.paint());
  }

  setLang(lang: Lang): void {
    this.lang = lang;
    document.documentElement.lang = lang;
    remember('lang', lang);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    remember('theme', theme === 'system' ? null : theme);
    this.paint();
  }

  private paint(): void {
    this.dark = this.theme === 'dark' || (this.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
    document.documentElement.dataset.theme = this.dark ? 'dark' : 'light';
  }
}

function readTheme(): Theme {
  try {
    const kept = localStorage.getItem('theme');
    return kept === 'light' || kept === 'dark' ? kept : 'system';
  } catch {
    return 'system';
  }
}

function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // storage is switched off: the choice lasts until the page is closed
  }
}

export const prefs = new Prefs();
