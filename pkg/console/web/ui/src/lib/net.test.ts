import { describe, expect, it } from 'vitest';
import { listAt, ofForm, pageAddresses, pageAt, toForm, valueAt, withEntry, withValue, type Entry, type Shape } from './netdoc';
import { bitsPerSecond, ceiling, line, rates } from './rates';

const doc: Entry = {
  vlans: [{ parent: 'eth0', id: 20 }],
  uplinks: [{ name: 'Fibre', link: 'eth0', check: { method: 'ping' } }],
  zones: [{ name: 'Office', kind: 'management' }, { name: 'Phones', kind: 'voice' }, { name: 'Shop', kind: 'guest', services: ['page'] }],
  interfaces: [
    { link: 'eth0', zone: 'Office', addresses: ['192.0.2.1/24', '2001:db8::1/64', 'fe80::1/64'] },
    { link: 'eth0.20', zone: 'Phones', addresses: ['10.2.0.1/24'] },
    { link: 'eth1', zone: 'Shop', addresses: ['10.3.0.1/24'] },
  ],
};

describe('the network document', () => {
  it('is read and changed by the paths of faults', () => {
    expect(valueAt(doc, 'uplinks[0].check.method')).toBe('ping');
    expect(valueAt(doc, 'uplinks[3].check')).toBeUndefined();
    expect(listAt(doc, 'bonds')).toEqual([]);
    expect(valueAt(withValue(doc, 'uplinks[0].check.method', undefined), 'uplinks[0]')).toEqual({ name: 'Fibre', link: 'eth0' });
    expect(withValue(doc, 'dns.serve', true)).toMatchObject({ dns: { serve: true } });
    expect(doc).not.toHaveProperty('dns');
  });

  it('gains and loses entries', () => {
    expect(listAt(withEntry(doc, 'vlans', 1, { parent: 'eth0', id: 30 }), 'vlans')).toHaveLength(2);
    expect(withEntry(doc, 'vlans', 0, null)).not.toHaveProperty('vlans');
  });

  it('tells where its page will be', () => {
    expect(pageAddresses(doc)).toEqual(['192.0.2.1', '2001:db8::1', '10.3.0.1']);
    expect(pageAt('2001:db8::1', '8443')).toBe('https://[2001:db8::1]:8443');
    expect(pageAt('192.0.2.1', '')).toBe('https://192.0.2.1');
  });
});

describe('a form of an entry', () => {
  const shapes: Shape[] = [
    { path: 'name', kind: 'text' },
    { path: 'mtu', kind: 'number' },
    { path: 'sources', kind: 'list' },
    { path: 'log', kind: 'check' },
    { path: 'dhcp4', kind: 'there' },
    { path: 'hosts', kind: 'rows', columns: ['name', 'addresses'] },
  ];
  const entry = { name: 'a', mtu: 1500, sources: ['10.0.0.0/8', '192.0.2.1'], log: true, dhcp4: { hostname: 'x' }, hosts: [{ name: 'printer', addresses: ['10.0.0.9', '10.0.0.10'] }], other: 1 };

  it('comes back as it was', () => {
    expect(ofForm(entry, toForm(entry, shapes), shapes)).toEqual(entry);
    expect(ofForm({}, toForm({}, shapes), shapes)).toEqual({});
    expect(ofForm({ sources: [] }, toForm({ sources: [] }, shapes), shapes)).toEqual({ sources: [] });
  });

  it('keeps what cannot be read for the box to tell', () => {
    const form = { ...toForm(entry, shapes), mtu: 'big', log: false, dhcp4: false, sources: '', hosts: 'nas 10.0.0.5\n\n' };
    expect(ofForm(entry, form, shapes)).toEqual({ name: 'a', mtu: 'big', hosts: [{ name: 'nas', addresses: ['10.0.0.5'] }], other: 1 });
  });
});

describe('what flows through a link', () => {
  const samples = [
    { at: 0, received: 1000, sent: 0 },
    { at: 2000, received: 3000, sent: 500 },
    { at: 4000, received: 10, sent: 0 }, // made anew
    { at: 6000, received: 260, sent: 0 },
  ];

  it('is told between samples', () => {
    expect(rates(samples)).toEqual([{ at: 2000, received: 8000, sent: 2000 }, { at: 6000, received: 1000, sent: 0 }]);
    expect(ceiling(rates(samples))).toBe(10000);
    expect(ceiling([])).toBe(1000);
  });

  it('is drawn to the right side', () => {
    expect(line([0, 5, 10], 10, 5, 100, 50)).toBe('M50.0 50.0L75.0 25.0L100.0 0.0');
  });

  it.each([[0, '0 bit/s'], [12345, '12 kbit/s'], [1_440_000, '1.4 Mbit/s'], [2e9, '2 Gbit/s']])('%d', (n, want) => {
    expect(bitsPerSecond(n, 'en-IN')).toBe(want);
  });
});
