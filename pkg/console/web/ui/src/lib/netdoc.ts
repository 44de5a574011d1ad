import { splitNumbers } from './format';

// The network document as its forms have it. Pure: paths are the ones by which the box names faults.

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Entry = { [key: string]: Json };

/** What a field of a form holds: words of a list are typed into one line, rows of one into a text. */
export type Kind = 'text' | 'list' | 'number' | 'check' | 'select' | 'rows' | 'there';

export interface Shape {
  path: string;
  kind: Kind;
  /** The columns of rows. */
  columns?: readonly string[];
}

const steps = (path: string): string[] => path.split(/[.[\]]+/).filter((s) => s !== '');

/** The value at a path such as uplinks[0].check.method. */
export function valueAt(doc: Json | undefined, path: string): Json | undefined {
  let v: Json | undefined = doc;
  for (const s of steps(path)) {
    if (Array.isArray(v)) v = v[Number(s)];
    else if (v !== null && typeof v === 'object') v = v[s];
    else return undefined;
  }
  return v;
}

/** The list at a path; an absent one is empty. */
export function listAt(doc: Json | undefined, path: string): Entry[] {
  const v = valueAt(doc, path);
  return Array.isArray(v) ? (v as Entry[]) : [];
}

/** A copy of a document with another value at a path; undefined takes it out, and objects that are empty then. */
export function withValue<T extends Json>(doc: T, path: string, value: Json | undefined): T {
  const [first, ...rest] = steps(path);
  if (first === undefined) return (value ?? {}) as T;
  if (Array.isArray(doc)) {
    const copy = [...doc];
    copy[Number(first)] = withValue((copy[Number(first)] ?? {}) as Json, rest.join('.'), value);
    return copy as T;
  }
  const copy = { ...(doc as Entry) };
  if (rest.length === 0) {
    if (value === undefined) delete copy[first];
    else copy[first] = value;
    return copy as T;
  }
  const inner = withValue(copy[first] ?? {}, rest.join('.'), value);
  if (value === undefined && !Array.isArray(inner) && Object.keys(inner as Entry).length === 0) delete copy[first];
  else copy[first] = inner;
  return copy as T;
}

/** A copy of a document with another entry in a list; at its end where at is its length, none takes it out. */
export function withEntry<T extends Json>(doc: T, path: string, at: number, entry: Entry | null): T {
  const list = [...listAt(doc, path)];
  if (entry) list[at] = entry;
  else list.splice(at, 1);
  return withValue(doc, path, list.length > 0 ? list : undefined);
}

/** An entry as its form has it: every field a text or a mark. */
export function toForm(entry: Entry, shapes: readonly Shape[]): Record<string, string | boolean> {
  const form: Record<string, string | boolean> = {};
  for (const { path, kind, columns } of shapes) {
    const v = valueAt(entry, path);
    if (kind === 'check') form[path] = v === true;
    else if (kind === 'there') form[path] = v !== undefined;
    else if (kind === 'list') form[path] = Array.isArray(v) ? v.join(', ') : '';
    else if (kind === 'rows') form[path] = (Array.isArray(v) ? (v as Entry[]) : []).map((r) => rowText(r, columns ?? [])).join('\n');
    else form[path] = v === undefined || v === null ? '' : String(v);
  }
  return form;
}

/** An entry with what its form says; what the form does not know stays as it was. */
export function ofForm(entry: Entry, form: Record<string, string | boolean>, shapes: readonly Shape[]): Entry {
  let made = entry;
  for (const shape of shapes) made = withValue(made, shape.path, typed(form[shape.path] ?? '', shape, valueAt(entry, shape.path)));
  return made;
}

function typed(value: string | boolean, { kind, columns }: Shape, was: Json | undefined): Json | undefined {
  if (typeof value === 'boolean') {
    if (!value) return undefined;
    return kind === 'there' ? (was ?? {}) : true;
  }
  const text = value.trim();
  if (kind === 'list') {
    // A list that is there and empty is not the same as none: it says "none of them".
    const words = splitNumbers(text);
    return words.length > 0 ? words : Array.isArray(was) && was.length === 0 ? [] : undefined;
  }
  if (kind === 'rows') {
    const rows = text.split('\n').map((line) => line.trim()).filter((line) => line !== '').map((line) => rowOf(line, columns ?? []));
    return rows.length > 0 ? rows : undefined;
  }
  if (text === '') return undefined;
  return kind === 'number' && /^-?\d+$/.test(text) ? Number(text) : text; // what is no number is told by the box
}

const rowText = (row: Entry, columns: readonly string[]): string => columns.map((c) => (Array.isArray(row[c]) ? (row[c] as Json[]).join(',') : String(row[c] ?? ''))).join(' ').trim();

/** A line as an entry: one word for each column, and in the last one of the name "addresses" all that are left. */
function rowOf(line: string, columns: readonly string[]): Entry {
  const words = line.split(/[\s,]+/);
  const row: Entry = {};
  columns.forEach((c, i) => {
    if (c === 'addresses' || c === 'servers') row[c] = words.slice(i);
    else if (words[i] !== undefined && words[i] !== '') row[c] = words[i]!;
  });
  return row;
}

/** Addresses at which the page will answer: fixed ones of links whose zone may reach it. */
export function pageAddresses(doc: Json): string[] {
  const reaches = (zone: Entry | undefined): boolean => {
    const services = zone?.services;
    return Array.isArray(services) ? services.includes('page') : zone?.kind === 'management';
  };
  const zones = listAt(doc, 'zones');
  return listAt(doc, 'interfaces')
    .filter((i) => reaches(zones.find((z) => z.name === i.zone)))
    .flatMap((i) => (Array.isArray(i.addresses) ? (i.addresses as string[]) : []))
    .map((a) => a.replace(/\/\d+$/, ''))
    .filter((a) => !/^fe80:/i.test(a));
}

/** Where the page is at another address of the box. */
export function pageAt(address: string, port: string): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return `https://${host}${port && port !== '443' ? `:${port}` : ''}`;
}
