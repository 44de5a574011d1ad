import { newDay, sides } from './thread';
import { describe, expect, it } from 'vitest';
import { keptAt } from './files';
import { hookForm, hookSpec, splitNames } from './hook';
import { health, ports, worst } from './health';
import { advise } from './password';
import { bounds, isPreset, presets } from './period';
import { asProblem, faultsOf, offline, otherFaults, Problem, problemOf } from './problem';
import { grade, loss, verdicts } from './quality';
import { complete, group } from './setupcode';
import { picture } from './timeline';
import type { CallRecord, Overview, StreamRecord } from './types';

describe('a file that a message tells of', () => {
  const id = '0123456789abcdefghjkmnpqrstvwxyz';
  it.each([
    [`https://box:8443/files/${id}`, 'a b&c', `/api/v1/files/${id}?reason=a+b%26c`],
    [`https://box:8443/files/${id}`, '', ''],
    [`https://box:8443/files/${id}/more`, 'r', ''],
    ['https://elsewhere/upload?id=1', 'r', ''],
    [`javascript:https://x/files/${id}`, 'r', ''],
  ])('%s is read for "%s"', (url, reason, want) => expect(keptAt(url, reason)).toBe(want));
});

describe('the set-up code', () => {
  it.each([
    ['', ''],
    ['ab', 'ab'],
    ['abcd', 'abcd'],
    ['abcde', 'abcd-e'],
    ['ABCD 1234 efgh', 'abcd-1234-efgh'],
    ['abcd-1234-efgh-too-long', 'abcd-1234-efgh'],
  ])('%s is grouped', (typed, want) => expect(group(typed)).toBe(want));

  it('is complete with twelve characters', () => {
    expect(complete('abcd1234efg')).toBe(false);
    expect(complete('abcd1234efgh')).toBe(true);
  });
});

describe('advice on a password', () => {
  it.each([
    ['', '', 0, ['length', 'variety', 'name']],
    ['short', '', 0, ['length']],
    ['aaaaaaaaaaaaaaaa', '', 0, ['variety']],
    ['abcabcabcabc', '', 0, ['variety']],
    ['my-name-is-Asha-Rao', 'asha', 0, ['name']],
    ['long enough one', 'Owner', 1, []],
    ['Long-enough-one-2', 'Owner', 3, []],
    ['correct horse battery staple', 'Owner', 4, []],
  ])('%s', (password, name, strength, unmet) => {
    const advice = advise(password, name);
    expect(advice.hints.filter((h) => !h.met).map((h) => h.hint)).toEqual(unmet);
    expect(advice.strength).toBe(strength);
  });
});

describe('the time that a log shows', () => {
  const now = new Date(2026, 10, 23, 15, 4, 5);
  const day = (d: number) => new Date(2026, 10, d).toISOString();
  it.each([
    ['hour', { from: new Date(2026, 10, 23, 14, 4, 5).toISOString() }],
    ['today', { from: day(23) }],
    ['yesterday', { from: day(22), to: day(23) }],
    ['week', { from: day(17) }],
    ['month', { from: new Date(2026, 9, 25).toISOString() }],
    ['all', {}],
  ] as const)('%s', (preset, want) => expect(bounds(preset, now)).toEqual(want));

  it('is chosen, even half', () => {
    expect(bounds('custom', now, '2026-11-01T00:00', '')).toEqual({ from: day(1), to: undefined });
    expect(bounds('custom', now, 'x', '2026-11-02T00:00')).toEqual({ from: undefined, to: day(2) });
  });

  it('is one of the presets', () => {
    expect(presets.every((p) => isPreset(p))).toBe(true);
    expect(isPreset('century')).toBe(false);
    expect(isPreset(null)).toBe(false);
  });
});

const stream: StreamRecord = { kind: 'audio', packets_in: 1000, packets_out: 1000, lost_in: 0, lost_out: 0, jitter_in: 2e6, jitter_out: 2e6 };

describe('quality', () => {
  it.each([
    [undefined, null],
    [0, null],
    [4.4, 'good'],
    [4, 'good'],
    [3.7, 'fair'],
    [3.2, 'poor'],
    [2, 'bad'],
  ])('%s is %s', (mos, want) => expect(grade(mos)).toBe(want));

  it.each([
    [{}, ['clean']],
    [{ packets_in: 0, packets_out: 0 }, ['nothing']],
    [{ packets_in: 0 }, ['silent']],
    [{ packets_out: 0 }, ['unheard']],
    [{ lost_in: 9 }, ['clean']],
    [{ lost_in: 9, unmeasured: 900 }, ['lossIn']],
    [{ lost_in: 40, lost_out: 30 }, ['lossIn', 'lossOut']],
    [{ jitter_out: 31e6, round_trip: 400e6 }, ['jitter', 'delay']],
  ])('%j', (change, want) => expect(verdicts({ ...stream, ...change })).toEqual(want));

  it('counts what was sent', () => {
    expect(loss(90, 10)).toBe(0.1);
    expect(loss(0, 0)).toBe(0);
  });
});

describe('the picture of a call', () => {
  const at = (s: number) => new Date(Date.UTC(2026, 0, 1) + s * 1000).toISOString();
  const party = { user: 'x' };
  const base = { id: '1', call_id: 'c', caller: party, callee: party, dialed: '2', duration: 0, status: 'answered', code: 200, cause: '', ended_by: 'caller' };

  it('gives ringing a place beside an hour of talking', () => {
    const call: CallRecord = {
      ...base, start: at(0), end: at(3609),
      legs: [
        { role: 'caller', party, call_id: 'a', code: 200, start: at(0), ring: at(1), answer: at(9), end: at(3609) },
        { role: 'callee', party, call_id: 'b', code: 487, start: at(0), ring: at(2), end: at(9) },
      ],
    };
    const p = picture(call);
    expect(p.marks.map((m) => m.ms)).toEqual([0, 1000, 2000, 9000, 3_609_000]);
    expect(p.marks.at(-1)!.at).toBe(1);
    expect(p.bars[0]!.pieces.map((s) => s.phase)).toEqual(['trying', 'ringing', 'talking']);
    expect(p.bars[1]!.pieces.map((s) => s.phase)).toEqual(['trying', 'ringing']);
    for (const b of p.bars) {
      for (const s of b.pieces) {
        expect(s.to).toBeGreaterThan(s.from);
        expect(s.from).toBeGreaterThanOrEqual(0);
        expect(s.to).toBeLessThanOrEqual(1);
      }
    }
    const ringing = p.bars[0]!.pieces[1]!;
    expect(ringing.to - ringing.from).toBeGreaterThan(0.2);
  });

  it('shows a leg that failed at once', () => {
    const call: CallRecord = { ...base, status: 'offline', start: at(0), end: at(0), legs: [{ role: 'caller', party, call_id: 'a', code: 480, start: at(0), end: at(0) }] };
    const p = picture(call);
    expect(p.bars[0]!.pieces).toEqual([]);
    expect(p.bars[0]!.end).toBe(0);
    expect(p.marks).toEqual([{ at: 0, ms: 0 }]);
  });
});

describe('problems', () => {
  const fault = (path: string) => ({ path, value: 'v', rule: 'r', cure: 'c' });
  const problem = new Problem({ kind: 'invalid', code: 'user', text: 't', faults: [fault('name'), fault('numbers[1]'), fault('secret.password'), fault('other')] });

  it('stand beside their fields', () => {
    expect(faultsOf(problem, 'name').map((f) => f.path)).toEqual(['name']);
    expect(faultsOf(problem, 'numbers').map((f) => f.path)).toEqual(['numbers[1]']);
    expect(faultsOf(problem, 'password').map((f) => f.path)).toEqual(['secret.password']);
    expect(otherFaults(problem, 'name', 'numbers', 'password').map((f) => f.path)).toEqual(['other']);
    expect(faultsOf(null, 'name')).toEqual([]);
  });

  it('are read from an answer', async () => {
    const told = await problemOf(new Response(JSON.stringify({ kind: 'denied', code: 'setup.code', text: 'wrong' }), { status: 403 }));
    expect([told.kind, told.code, told.status, told.faults]).toEqual(['denied', 'setup.code', 403, []]);
    const strange = await problemOf(new Response('<html>', { status: 502 }));
    expect([strange.code, strange.text]).toEqual(['page.answer', 'the answer was not understood (status 502)']);
  });

  it('are whatever was thrown', () => {
    expect(asProblem(problem)).toBe(problem);
    expect(asProblem(new Error('x')).code).toBe('page.fault');
    expect(offline().kind).toBe('offline');
  });
});

describe('the health of the box', () => {
  const alarm = (source: string, code: string) => ({ source, code, text: 't', cure: 'c', since: '2026-01-01T00:00:00Z' });
  const overview = {
    daemons: [{ name: 'netd', up: false }, { name: 'switchd', up: true }, { name: 'mediad', up: true }],
    alarms: [alarm('mediad', 'media.ports.low'), alarm('admind', 'netd.away')],
    listeners: [
      { transport: 'udp', address: '0.0.0.0:5060' },
      { transport: 'udp', address: '[::]:5060' },
      { transport: 'tls', address: '[::]:5061' },
    ],
  } as Overview;

  it('is told part by part', () => {
    expect(health(overview).map((h) => [h.part, h.tone])).toEqual([['switchd', 'good'], ['mediad', 'fair'], ['netd', 'bad']]);
    expect(worst(health(overview))).toBe('bad');
    expect(worst([])).toBe('good');
  });

  it('lists each port once, the safest first', () => {
    expect(ports(overview)).toEqual([{ transport: 'tls', port: '5061' }, { transport: 'udp', port: '5060' }]);
  });
});

describe('a conversation', () => {
  const asha = { user: 'asha', name: 'Asha' };
  const vikram = { user: 'vikram' };
  it('has its sides in the same order, whoever wrote first', () => {
    expect(sides([{ sender: vikram, recipient: asha }])).toEqual([asha, vikram]);
    expect(sides([{ sender: asha, recipient: vikram }, { sender: vikram, recipient: asha }])).toEqual([asha, vikram]);
    expect(sides([{ sender: asha, recipient: asha }])).toEqual([asha]);
    expect(sides([])).toEqual([]);
  });

  it('tells a new day', () => {
    expect(newDay(undefined, '2026-11-23T10:00:00')).toBe(true);
    expect(newDay('2026-11-22T23:59:00', '2026-11-23T00:01:00')).toBe(true);
    expect(newDay('2026-11-23T00:01:00', '2026-11-23T23:59:00')).toBe(false);
  });
});

describe('the form of a hook', () => {
  const spec = { name: 'CRM', url: 'https://crm.example.com/x', events: ['message.new', 'message.receipt'], users: ['asha', 'bala'], content: true, takes: true, disabled: true, ca: 'PEM' };

  it('keeps what it is not asked to change', () => {
    expect(hookSpec(hookForm(spec))).toEqual(spec);
  });

  it('begins with new messages, without what they say', () => {
    expect(hookSpec(hookForm(null))).toEqual({ name: '', url: '', events: ['message.new'], users: [], content: false, takes: false, disabled: false, ca: '' });
  });

  it.each([
    ['asha, bala;meera  devi', ['asha', 'bala', 'meera', 'devi']],
    [' , ', []],
  ])('reads the names %s', (text, names) => {
    expect(splitNames(text)).toEqual(names);
  });
});
