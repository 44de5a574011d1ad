import { count } from './format';
import { loc, t, type Key } from './i18n';
import type { Entry, Json } from './netdoc';

const zoneKinds: Record<string, Key> = { management: 'zone.management', voice: 'zone.voice', guest: 'zone.guest', uplink: 'zone.uplink', custom: 'zone.custom' };

export const zoneKind = (kind: unknown): string => t(zoneKinds[String(kind || 'custom')] ?? 'zone.custom');

const words = (v: Json | undefined): string => (Array.isArray(v) ? v.join(', ') : v === undefined || v === null ? '' : String(v));
const set = (v: Json | undefined, key: Key): string => (words(v) ? t(key, { what: words(v) }) : '');
const joined = (...parts: (string | false)[]): string => parts.filter(Boolean).join(' · ');

/** What an entry of a list is called. */
export function entryName(path: string, e: Entry): string {
  const list = path.slice(path.lastIndexOf('.') + 1);
  if (list === 'vlans') return words(e.name) || `${words(e.parent)}.${words(e.id)}`;
  if (list === 'routes') return words(e.to);
  if (list === 'masquerade' || list === 'source') return words(e.zone);
  if (list === 'reservations') return words(e.name) || words(e.mac);
  if (list === 'ports' && e.label) return `${words(e.label)} (${words(e.name)})`;
  return words(e.name) || words(e.link) || words(e.port);
}

/** What an entry says, in a line. */
export function entryWords(path: string, e: Entry): string {
  const list = path.slice(path.lastIndexOf('.') + 1);
  switch (list) {
    case 'ports':
      return e.disabled ? t('link.off') : set(e.mtu, 'nw.mtu');
    case 'vlans':
      return t('nw.vlan', { id: words(e.id), parent: words(e.parent) });
    case 'bridges':
    case 'bonds':
      return set(e.members, 'nw.members');
    case 'interfaces':
      return joined(words(e.zone), e.dhcp4 !== undefined && t('nw.dhcp'), e.slaac === true && t('nw.slaac'), words(e.addresses));
    case 'zones':
      return joined(zoneKind(e.kind), Array.isArray(e.services) && t('nw.services', { what: words(e.services) || t('nw.nothing') }), set(e.reaches, 'nw.reaches'));
    case 'uplinks':
      return joined(words(e.link), set(e.gateway4, 'nw.by'), set(e.gateway6, 'nw.by'), e.shaping !== undefined && t('nw.shaped', { what: count(Number((e.shaping as Entry).upKbit), loc()) }));
    case 'routes':
      return joined(set(e.via, 'nw.by'), words(e.link), words(e.kind));
    case 'rules':
      return ruleWords(e);
    case 'forwards':
      return joined(t('nw.forward', { protocol: words(e.protocol), ports: words(e.ports), zone: words(e.zone), to: words(e.to) + (e.toPort ? ` : ${words(e.toPort)}` : '') }), e.disabled === true && t('nw.disabled'));
    case 'masquerade':
      return t('nw.masquerade', { who: words(e.sources) || t('nw.everybody') });
    case 'source':
      return t('nw.source', { who: words(e.sources), to: words(e.to) });
    case 'oneToOne':
      return t('nw.onetoone', { outside: words(e.outside), inside: words(e.inside) });
    case 'dhcp':
      return words(e.ranges);
    case 'reservations':
      return joined(words(e.address), words(e.mac));
    case 'peers':
      return joined(words(e.allowed), words(e.endpoint));
    case 'wireguard':
      return t('nw.tunnel', { port: words(e.listenPort) || '51820' });
    case 'voice':
      return t('nw.voice', { id: words(e.vlan) || '0' });
  }
  return words(e.prefixes);
}

function ruleWords(e: Entry): string {
  const does: Key = e.action === 'drop' ? 'nw.rule.drop' : e.action === 'reject' ? 'nw.rule.reject' : 'nw.rule.allow';
  return joined(
    t(does, { from: joined(words(e.from), words(e.sources)) || t('nw.anywhere'), to: joined(e.to === 'box' ? t('nw.box') : words(e.to), words(e.destinations)) || t('nw.anywhere') }),
    joined(words(e.protocol), words(e.ports)), e.log === true && t('nw.logged'), e.disabled === true && t('nw.disabled'),
  );
}
