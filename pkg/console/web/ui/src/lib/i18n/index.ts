import { locale } from '../format';
import { prefs } from '../prefs.svelte';
import { en, type Key } from './en';
import { fill } from './fill';
import { hi } from './hi';
import { serverHindi } from './server-hi';

export type { Key };

/** The Intl locale of the page. Reactive where it is read in a component. */
export const loc = (): string => locale(prefs.lang, navigator.languages);

/** A text of the page in the reader's language. */
export function t(key: Key, params: Record<string, string | number> = {}): string {
  return fill((prefs.lang === 'hi' ? hi : en)[key], params, loc());
}

/** A text that the box wrote, in the reader's language where the page knows it, else as it came. */
export function said(text: string): string {
  return prefs.lang === 'hi' ? serverHindi(text) : text;
}
