import { describe, expect, it } from 'vitest';
import { ago, axis, bytes, capital, clock, exact, fromNanos, locale, localInput, millis, moment, party, percent, span, splitNumbers, userNameOf } from './format';

describe('durations', () => {
  it.each([
    [0, '0:00'],
    [7_900, '0:07'],
    [723_000, '12:03'],
    [3_765_000, '1:02:45'],
    [-5, '0:00'],
  ])('%d ms', (ms, want) => expect(clock(ms)).toBe(want));

  it('come in nanoseconds', () => expect(clock(fromNanos(252_000_000_000))).toBe('4:12'));

  it.each([
    [400, 'en', '400 ms'],
    [0.44, 'en', '0.4 ms'],
    [12.7, 'en', '13 ms'],
  ])('%d ms in figures', (ms, loc, want) => expect(millis(ms, loc)).toBe(want));

  it.each([
    [0, '0:00'],
    [400, '0.4s'],
    [9_040, '9s'],
    [75_000, '1:15'],
  ])('%d ms on an axis', (ms, want) => expect(axis(ms, 'en')).toBe(want));

  it.each([
    [500, 'en', '0 seconds'],
    [61_000, 'en', '1 minute'],
    [10_800_000, 'en', '3 hours'],
    [259_200_000, 'hi', '3 दिन'],
  ])('%d ms in words', (ms, loc, want) => expect(span(ms, loc)).toBe(want));
});

describe('amounts', () => {
  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1_500, '1.5 kB'],
    [81_000_000_000, '81 GB'],
    [4_200_000_000_000_000, '4,200 TB'],
  ])('%d bytes', (n, want) => expect(bytes(n, 'en')).toBe(want));

  it.each([
    [0, '0%'],
    [0.0126, '1.3%'],
    [0.25, '25%'],
  ])('the share %d', (n, want) => expect(percent(n, 'en')).toBe(want));
});

describe('moments', () => {
  const now = new Date(2026, 10, 23, 15, 4, 5);
  it.each([
    [new Date(2026, 10, 23, 9, 0, 7), 'en-IN', '09:00:07'],
    [new Date(2026, 10, 22, 9, 0, 7), 'en-IN', '22 Nov, 09:00:07'],
    [new Date(2025, 10, 22, 9, 0, 7), 'en-IN', '22 Nov 2025, 09:00:07'],
  ])('%s', (at, loc, want) => expect(moment(at, now, loc)).toBe(want));

  it('are exact in the tooltip', () => expect(exact(now, 'en-IN')).toContain('23 November 2026'));

  it.each([
    [0, 'now'],
    [-3_000, '3 seconds ago'],
    [-60_000, '1 minute ago'],
    [-7_200_000, '2 hours ago'],
    [-86_400_000, 'yesterday'],
  ])('%d ms from now', (ms, want) => expect(ago(new Date(now.getTime() + ms), now, 'en')).toBe(want));

  it('fill an input in local time', () => expect(localInput(new Date(2026, 0, 2, 3, 4))).toBe('2026-01-02T03:04'));
});

describe('the locale', () => {
  it.each([
    ['en', ['en-GB', 'hi-IN'], 'en-GB'],
    ['en', ['de-DE'], 'en-IN'],
    ['hi', ['en-US', 'hi'], 'hi-IN'],
  ] as const)('%s of %s', (lang, preferred, want) => expect(locale(lang, preferred)).toBe(want));
});

describe('names', () => {
  it.each([
    [{ name: 'Asha Rao', number: '201', user: 'asha' }, { main: 'Asha Rao', more: '201' }],
    [{ user: 'asha', number: 'asha' }, { main: 'asha', more: '' }],
    [{ aor: 'sip:a@b' }, { main: 'a@b', more: '' }],
    [{}, { main: '', more: '' }],
  ])('of a party %j', (who, want) => expect(party(who)).toEqual(want));

  it.each([
    ['Asha Rao', 'asha.rao'],
    ['  José  Núñez-Díaz ', 'jose.nunez.diaz'],
    ['आशा राव', ''],
  ])('of a user from %s', (person, want) => expect(userNameOf(person)).toBe(want));

  it('of numbers are split', () => expect(splitNumbers(' 201, 202;203\n+91 ')).toEqual(['201', '202', '203', '+91']));
  it('begin a sentence', () => expect(capital('the box')).toBe('The box'));
});
