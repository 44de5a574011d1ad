import { describe, expect, it } from 'vitest';
import { en } from './en';
import { fill } from './fill';
import { hi } from './hi';
import { serverHindi } from './server-hi';

const sources = import.meta.glob('../../**/*.{svelte,ts}', { query: '?raw', import: 'default', eager: true }) as Record<string, string>;
const places = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort().join(' ');
const keys = Object.keys(en) as (keyof typeof en)[];

describe('the dictionaries', () => {
  it('have the same keys', () => {
    expect(Object.keys(hi).sort()).toEqual(Object.keys(en).sort());
  });

  it('have the same places to fill in', () => {
    for (const key of keys) expect(`${key}: ${places(hi[key])}`).toBe(`${key}: ${places(en[key])}`);
  });

  it('have two forms in both languages or in none', () => {
    for (const key of keys) expect(`${key}: ${hi[key].split(' | ').length}`).toBe(`${key}: ${en[key].split(' | ').length}`);
  });

  it('have no text that is used nowhere', () => {
    const used = Object.entries(sources)
      .filter(([path]) => !/i18n\/(en|hi)\.ts$|\.test\.ts$/.test(path))
      .map(([, text]) => text)
      .join('\n');
    expect(keys.filter((key) => !used.includes(`'${key}'`))).toEqual([]);
  });

  it('say something', () => {
    for (const key of keys) {
      expect(en[key].trim(), key).not.toBe('');
      expect(hi[key].trim(), key).not.toBe('');
    }
  });

  it('are written in their own script', () => {
    const foreign = keys.filter((key) => !/[ऀ-ॿ]/.test(hi[key]));
    // Names of protocols, and an arrow.
    expect(foreign.sort()).toEqual(['call.to', 'filter.callid', 'reg.contact']);
    expect(keys.filter((key) => /[ऀ-ॿ]/.test(en[key]))).toEqual([]);
  });
});

describe('what the box says', () => {
  it.each([
    ['Phones in Voice may ask the box for names', 'ज़ोन Voice के फ़ोन: बॉक्स से नाम पूछ सकते हैं'],
    ['not looked at: Cable of eth0 must be well first', 'नहीं देखा: पहले eth0 की केबल ठीक हो'],
    ['is not offered to an uplink', 'अपलिंक को न दिया जाए'],
    ['something that nobody has put into Hindi', 'something that nobody has put into Hindi'],
  ])('%s', (text, want) => {
    expect(serverHindi(text)).toBe(want);
  });
});

describe('a text is filled in', () => {
  it.each([
    ['{n} user | {n} users', { n: 1 }, 'en-IN', '1 user'],
    ['{n} user | {n} users', { n: 0 }, 'en-IN', '0 users'],
    ['{n} user | {n} users', { n: 1234567 }, 'en-IN', '12,34,567 users'],
    ['एक {n} | कई {n}', { n: 0 }, 'hi-IN', 'एक 0'],
    ['एक {n} | कई {n}', { n: 2 }, 'hi-IN', 'कई 2'],
    ['{a} and {b}', { a: 'x', b: '{a}' }, 'en', 'x and {a}'],
    ['{missing}', {}, 'en', '{missing}'],
  ])('%s', (text, params, loc, want) => {
    expect(fill(text, params, loc)).toBe(want);
  });
});

describe('what the box says', () => {
  it.each([
    ['1 field is wrong', 'एक जगह ग़लती है'],
    ['3 fields are wrong', '3 जगह ग़लती है'],
    ['unique among names and numbers; asha has it', 'नाम और नंबर में एक ही बार; यह asha के पास है'],
    ['line 12: numbers[0]', 'पंक्ति 12: numbers[0]'],
    ['only 90 MB of disk are free; below 64 MB no records are stored', 'डिस्क पर सिर्फ़ 90 MB ख़ाली है; 64 MB से कम होने पर रिकॉर्ड नहीं सहेजे जाएँगे'],
    ['something nobody has translated', 'something nobody has translated'],
  ])('%s', (english, want) => {
    expect(serverHindi(english)).toBe(want);
  });
});
