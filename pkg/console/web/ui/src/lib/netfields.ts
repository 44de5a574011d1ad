import type { Key } from './i18n';
import type { Shape } from './netdoc';

/** A field of a form of the network. */
export interface NetField extends Shape {
  label: Key;
  hint?: Key;
  optional?: boolean;
  /** Of a select: what may be chosen, or of which things of the document the names. */
  options?: readonly { value: string; label: Key }[];
  of?: 'links' | 'zones' | 'places' | 'parents';
}

/** A list of the document. */
export interface NetSection {
  path: string;
  title: Key;
  add: Key;
  none: Key;
  fields: readonly NetField[];
  /** Lists within each entry. */
  inner?: readonly NetSection[];
  /** The first that matches decides: entries can change places. */
  ordered?: boolean;
  /** What cannot be added or taken away by hand, such as sockets. */
  fixed?: boolean;
}

export type Part = 'links' | 'zones' | 'uplinks' | 'filter' | 'services' | 'tunnels';

const text = (path: string, label: Key, hint?: Key): NetField => ({ path, kind: 'text', label, hint });
const maybe = (path: string, label: Key, hint?: Key): NetField => ({ path, kind: 'text', label, hint, optional: true });
const list = (path: string, label: Key, hint?: Key): NetField => ({ path, kind: 'list', label, hint, optional: true });
const number = (path: string, label: Key, hint?: Key): NetField => ({ path, kind: 'number', label, hint, optional: true });
const check = (path: string, label: Key, hint?: Key): NetField => ({ path, kind: 'check', label, hint });
const there = (path: string, label: Key, hint?: Key): NetField => ({ path, kind: 'there', label, hint });
const select = (path: string, label: Key, options: [string, Key][], hint?: Key): NetField => ({ path, kind: 'select', label, hint, options: options.map(([value, key]) => ({ value, label: key })) });
const one = (path: string, label: Key, of: NetField['of'], optional = false): NetField => ({ path, kind: 'select', label, of, optional });
const rows = (path: string, label: Key, hint: Key, columns: string[]): NetField => ({ path, kind: 'rows', label, hint, columns, optional: true });

const mtu = number('mtu', 'nf.mtu', 'nf.mtu.hint');
const sources = list('sources', 'nf.sources', 'nf.sources.hint');
const protocols: [string, Key][] = [['tcp', 'nf.tcp'], ['udp', 'nf.udp']];

const ports: NetSection = {
  path: 'ports', title: 'ns.ports', add: 'ns.ports.add', none: 'ns.none', fixed: true,
  fields: [text('name', 'nf.name'), maybe('label', 'nf.label', 'nf.label.hint'), mtu, check('disabled', 'nf.disabled')],
};
const vlans: NetSection = {
  path: 'vlans', title: 'ns.vlans', add: 'ns.vlans.add', none: 'ns.none',
  fields: [one('parent', 'nf.parent', 'parents'), { ...number('id', 'nf.vlan', 'nf.vlan.hint'), optional: false }, maybe('name', 'nf.name', 'nf.vlanname.hint'), mtu],
};
const bridges: NetSection = {
  path: 'bridges', title: 'ns.bridges', add: 'ns.bridges.add', none: 'ns.none',
  fields: [text('name', 'nf.name', 'nf.bridgename.hint'), list('members', 'nf.members', 'nf.members.hint'), check('stp', 'nf.stp'), mtu],
};
const bonds: NetSection = {
  path: 'bonds', title: 'ns.bonds', add: 'ns.bonds.add', none: 'ns.none',
  fields: [
    text('name', 'nf.name', 'nf.bondname.hint'), list('members', 'nf.members', 'nf.members.hint'),
    select('mode', 'nf.mode', [['', 'nf.mode.backup'], ['802.3ad', 'nf.mode.lacp'], ['balance-xor', 'nf.mode.xor']]), mtu,
  ],
};
const interfaces: NetSection = {
  path: 'interfaces', title: 'ns.interfaces', add: 'ns.interfaces.add', none: 'ns.none',
  fields: [
    one('link', 'nf.link', 'links'), one('zone', 'nf.zone', 'zones'), maybe('description', 'nf.description'),
    list('addresses', 'nf.addresses', 'nf.addresses.hint'), there('dhcp4', 'nf.dhcp4'), check('slaac', 'nf.slaac'),
    check('dhcp6.address', 'nf.dhcp6.address'), maybe('dhcp6.delegateTo', 'nf.dhcp6.delegate', 'nf.dhcp6.delegate.hint'),
  ],
};
const zones: NetSection = {
  path: 'zones', title: 'ns.zones', add: 'ns.zones.add', none: 'ns.none',
  fields: [
    text('name', 'nf.name'),
    select('kind', 'nf.zonekind', [['management', 'zone.management'], ['voice', 'zone.voice'], ['guest', 'zone.guest'], ['uplink', 'zone.uplink'], ['', 'zone.custom']]),
    list('services', 'nf.services', 'nf.services.hint'), list('reaches', 'nf.reaches', 'nf.reaches.hint'), check('isolated', 'nf.isolated'), check('trustDSCP', 'nf.trust'),
  ],
};
const uplinks: NetSection = {
  path: 'uplinks', title: 'ns.uplinks', add: 'ns.uplinks.add', none: 'ns.none', ordered: true,
  fields: [
    text('name', 'nf.name'), one('link', 'nf.link', 'links'), maybe('gateway4', 'nf.gateway4', 'nf.gateway.hint'), maybe('gateway6', 'nf.gateway6', 'nf.gateway.hint'),
    select('check.method', 'nf.check', [['', 'nf.check.ping'], ['arp', 'nf.check.arp'], ['tcp', 'nf.check.tcp'], ['link', 'nf.check.link']]),
    list('check.targets', 'nf.targets', 'nf.targets.hint'), number('shaping.upKbit', 'nf.up', 'nf.up.hint'), number('shaping.downKbit', 'nf.down'),
    select('shaping.shaper', 'nf.shaper', [['', 'nf.shaper.htb'], ['cake', 'nf.shaper.cake']]),
  ],
};
const routes: NetSection = {
  path: 'routes', title: 'ns.routes', add: 'ns.routes.add', none: 'ns.none',
  fields: [
    text('to', 'nf.to', 'nf.prefix.hint'), maybe('via', 'nf.via'), one('link', 'nf.link', 'links', true), number('metric', 'nf.metric', 'nf.metric.hint'),
    select('kind', 'nf.routekind', [['', 'nf.unicast'], ['blackhole', 'nf.blackhole'], ['unreachable', 'nf.unreachable']]),
  ],
};
const rules: NetSection = {
  path: 'firewall.rules', title: 'ns.rules', add: 'ns.rules.add', none: 'ns.rules.none', ordered: true,
  fields: [
    text('name', 'nf.name'), select('action', 'nf.action', [['', 'nf.allow'], ['drop', 'nf.drop'], ['reject', 'nf.reject']]),
    one('from', 'nf.from', 'zones', true), one('to', 'nf.dest', 'places', true), sources, list('destinations', 'nf.destinations', 'nf.sources.hint'),
    select('protocol', 'nf.protocol', [['', 'nf.any'], ...protocols, ['icmp', 'nf.icmp']]), list('ports', 'nf.ports', 'nf.ports.hint'),
    check('log', 'nf.log'), check('disabled', 'nf.off'),
  ],
};
const forwards: NetSection = {
  path: 'nat.forwards', title: 'ns.forwards', add: 'ns.forwards.add', none: 'ns.none',
  fields: [
    text('name', 'nf.name'), one('zone', 'nf.from', 'zones'), select('protocol', 'nf.protocol', protocols), text('ports', 'nf.ports', 'nf.ports.hint'),
    text('to', 'nf.inside'), number('toPort', 'nf.toport', 'nf.toport.hint'), maybe('address', 'nf.address', 'nf.address.hint'), sources, check('hairpin', 'nf.hairpin'), check('disabled', 'nf.off'),
  ],
};
const masquerade: NetSection = {
  path: 'nat.masquerade', title: 'ns.masquerade', add: 'ns.masquerade.add', none: 'ns.none', fields: [one('zone', 'nf.tozone', 'zones'), sources],
};
const sourceNAT: NetSection = {
  path: 'nat.source', title: 'ns.source', add: 'ns.source.add', none: 'ns.none',
  fields: [one('zone', 'nf.tozone', 'zones'), { ...sources, optional: false }, text('to', 'nf.outside')],
};
const oneToOne: NetSection = {
  path: 'nat.oneToOne', title: 'ns.onetoone', add: 'ns.onetoone.add', none: 'ns.none',
  fields: [text('name', 'nf.name'), one('zone', 'nf.zone', 'zones'), text('outside', 'nf.outside'), text('inside', 'nf.inside'), check('hairpin', 'nf.hairpin')],
};
const reservations: NetSection = {
  path: 'reservations', title: 'ns.reservations', add: 'ns.reservations.add', none: 'ns.none',
  fields: [text('mac', 'link.mac'), text('address', 'nf.address'), maybe('name', 'nf.name')],
};
const dhcp: NetSection = {
  path: 'dhcp', title: 'ns.dhcp', add: 'ns.dhcp.add', none: 'ns.none', inner: [reservations],
  fields: [
    one('link', 'nf.link', 'links'), { ...list('ranges', 'nf.ranges', 'nf.ranges.hint'), optional: false }, number('leaseSeconds', 'nf.lease', 'nf.lease.hint'),
    maybe('router', 'nf.router', 'nf.own.hint'), list('dns', 'nf.dns', 'nf.own.hint'), list('ntp', 'nf.ntp', 'nf.own.hint'), maybe('domain', 'nf.domain'),
    maybe('phones.provisionURL', 'nf.provision', 'nf.provision.hint'), number('phones.vlan', 'nf.phonevlan', 'nf.phonevlan.hint'),
  ],
};
const advertise: NetSection = {
  path: 'advertise', title: 'ns.advertise', add: 'ns.advertise.add', none: 'ns.none',
  fields: [one('link', 'nf.link', 'links'), list('prefixes', 'nf.prefixes', 'nf.prefixes.hint'), list('dns', 'nf.dns', 'nf.own.hint'), check('managed', 'nf.managed'), check('other', 'nf.other')],
};
const peers: NetSection = {
  path: 'peers', title: 'ns.peers', add: 'ns.peers.add', none: 'ns.none',
  fields: [
    text('name', 'nf.name'), text('publicKey', 'nf.publickey'), { ...list('allowed', 'nf.allowed', 'nf.allowed.hint'), optional: false },
    maybe('endpoint', 'nf.endpoint', 'nf.endpoint.hint'), number('keepaliveSeconds', 'nf.keepalive', 'nf.keepalive.hint'),
  ],
};
const wireguard: NetSection = {
  path: 'wireguard', title: 'ns.tunnels', add: 'ns.tunnels.add', none: 'ns.none', inner: [peers],
  fields: [text('name', 'nf.name', 'nf.tunnelname.hint'), number('listenPort', 'nf.listen', 'nf.listen.hint'), mtu],
};
const voice: NetSection = {
  path: 'lldp.voice', title: 'ns.voice', add: 'ns.voice.add', none: 'ns.none',
  fields: [text('port', 'nf.port'), number('vlan', 'nf.vlan'), number('priority', 'nf.priority')],
};

/** The lists of each part of the editor. */
export const parts: Record<Part, readonly NetSection[]> = {
  links: [ports, vlans, bridges, bonds],
  zones: [zones, interfaces],
  uplinks: [uplinks, routes],
  filter: [rules, forwards, masquerade, sourceNAT, oneToOne],
  services: [dhcp, advertise, voice],
  tunnels: [wireguard],
};

/** What stands in no list: one form with a save button of its own, in the part of services. */
export const general: readonly NetField[] = [
  maybe('hostname', 'nf.hostname', 'nf.hostname.hint'), maybe('domain', 'nf.localdomain', 'nf.localdomain.hint'),
  list('dns.servers', 'nf.upstream', 'nf.upstream.hint'), check('dns.serve', 'nf.dnsserve'), list('dns.allowLAN', 'nf.allowlan', 'nf.allowlan.hint'),
  rows('dns.hosts', 'nf.hosts', 'nf.hosts.hint', ['name', 'addresses']), rows('dns.split', 'nf.split', 'nf.split.hint', ['domain', 'servers']),
  list('ntp.sources', 'nf.ntpsources', 'nf.ntpsources.hint'), check('ntp.serve', 'nf.ntpserve'),
  check('lldp.disabled', 'nf.lldpoff'), check('mdns.disabled', 'nf.mdnsoff'),
];

export const partNames: readonly { part: Part; name: Key }[] = [
  { part: 'links', name: 'np.links' },
  { part: 'zones', name: 'np.zones' },
  { part: 'uplinks', name: 'np.uplinks' },
  { part: 'filter', name: 'np.filter' },
  { part: 'services', name: 'np.services' },
  { part: 'tunnels', name: 'np.tunnels' },
];
