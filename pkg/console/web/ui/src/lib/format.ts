// Times, durations and amounts in words that people read. Pure: the language is a parameter.

export type Lang = 'en' | 'hi';

/** The Intl locale of a language: of the reader's own region where the browser tells it. */
export function locale(lang: Lang, preferred: readonly string[] = []): string {
  return preferred.find((p) => p.toLowerCase().startsWith(`${lang}-`)) ?? `${lang}-IN`;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** The API tells durations in nanoseconds. */
export const fromNanos = (ns: number): number => ns / 1e6;

/** A running or finished duration as a clock: 0:07, 12:03, 1:02:45. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / second));
  const two = (n: number) => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  const m = Math.floor(s / 60) % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** A place on a time axis: tenths of seconds matter only at its beginning. */
export function axis(ms: number, loc: string): string {
  if (ms === 0 || ms >= 10 * second) return clock(ms);
  return new Intl.NumberFormat(loc, { style: 'unit', unit: 'second', unitDisplay: 'narrow', maximumFractionDigits: 1 }).format(ms / second);
}

/** Milliseconds to one figure where that matters: 0.4 ms, 12 ms. */
export function millis(ms: number, loc: string): string {
  return `${new Intl.NumberFormat(loc, { maximumFractionDigits: ms < 10 ? 1 : 0 }).format(ms)} ms`;
}

export function count(n: number, loc: string): string {
  return new Intl.NumberFormat(loc).format(n);
}

export function percent(part: number, loc: string): string {
  return new Intl.NumberFormat(loc, { style: 'percent', maximumFractionDigits: part < 0.1 ? 1 : 0 }).format(part);
}

/** Bytes as people speak of disks. */
export function bytes(n: number, loc: string): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;
  const power = n < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  const value = n / 1000 ** power;
  return new Intl.NumberFormat(loc, {
    style: 'unit', unit: units[power], unitDisplay: power === 0 ? 'long' : 'short', maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);
}

/** Date and time with seconds; without the date when it is today's. */
export function moment(at: Date, now: Date, loc: string): string {
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
  const sameDay = at.toDateString() === now.toDateString();
  const sameYear = at.getFullYear() === now.getFullYear();
  const date: Intl.DateTimeFormatOptions = sameDay ? {} : { day: 'numeric', month: 'short', ...(sameYear ? {} : { year: 'numeric' }) };
  return new Intl.DateTimeFormat(loc, { ...date, ...time }).format(at);
}

/** A day as a heading. */
export function dayOf(at: Date, loc: string): string {
  return new Intl.DateTimeFormat(loc, { dateStyle: 'full' }).format(at);
}

/** Hour and minute. */
export function timeOfDay(at: Date, loc: string): string {
  return new Intl.DateTimeFormat(loc, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(at);
}

/** Everything about a moment, for the tooltip. */
export function exact(at: Date, loc: string): string {
  return new Intl.DateTimeFormat(loc, { dateStyle: 'full', timeStyle: 'long', hourCycle: 'h23' }).format(at);
}

/** How long ago, in the coarsest unit that says it: "5 minutes ago". */
export function ago(at: Date, now: Date, loc: string): string {
  const ms = at.getTime() - now.getTime();
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [[day, 'day'], [hour, 'hour'], [minute, 'minute'], [second, 'second']];
  const [size, unit] = steps.find(([size]) => Math.abs(ms) >= size) ?? [second, 'second'];
  return new Intl.RelativeTimeFormat(loc, { numeric: 'auto' }).format(Math.round(ms / size), unit);
}

/** A length of time in words: "3 days", "12 hours", "5 minutes". */
export function span(ms: number, loc: string): string {
  const steps: [number, string][] = [[day, 'day'], [hour, 'hour'], [minute, 'minute'], [second, 'second']];
  const [size, unit] = steps.find(([size]) => ms >= size) ?? [second, 'second'];
  return new Intl.NumberFormat(loc, { style: 'unit', unit, unitDisplay: 'long' }).format(Math.floor(ms / size));
}

/** A value of <input type="datetime-local">, which is in local time and has no zone. */
export function localInput(at: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** Who a party of a call is, in the words that people know him by, and the other words behind it. */
export function party(p: { name?: string; user?: string; number?: string; aor?: string }): { main: string; more: string } {
  const words = [p.name, p.number, p.user, p.aor?.replace(/^sips?:/, '')].filter((w): w is string => !!w);
  const unique = words.filter((w, i) => words.indexOf(w) === i);
  return { main: unique[0] ?? '', more: unique[1] ?? '' };
}

/** Numbers as an admin types them, separated by spaces, commas or lines. */
export function splitNumbers(typed: string): string[] {
  return typed.split(/[\s,;]+/).filter((n) => n !== '');
}

/** A user name from a person's name: "Asha Rao" becomes asha.rao; "" where it has no Latin letters. */
export function userNameOf(person: string): string {
  return person
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '.')
    .replace(/^\.+|\.+$/g, '')
    .slice(0, 64);
}

/** A text that begins a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
