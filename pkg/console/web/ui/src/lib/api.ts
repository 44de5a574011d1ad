import type { paths } from './schema.gen';
import { offline, problemOf } from './problem';

/** Where the API is. */
export const prefix = '/api/v1';

type Method = 'get' | 'post' | 'put' | 'delete';
type With<M extends Method> = { [P in keyof paths]: paths[P][M] extends { responses: unknown } ? P : never }[keyof paths];
type JSONOf<R> = R extends { content: { 'application/json': infer B } } ? B : undefined;
type Answer<O> = O extends { responses: infer R } ? JSONOf<R[(200 | 201 | 204) & keyof R]> : never;
type Need<O, K extends string, From extends string> = O extends { parameters: { [key in From]: infer V } } ? { [key in K]: V } : unknown;
type Query<O> = O extends { parameters: { query?: infer Q } } ? { query?: Q } : unknown;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } } ? { body: B } : unknown;
type Options<O> = Need<O, 'path', 'path'> & Query<O> & Body<O> & { revision?: number; signal?: AbortSignal };
type Args<O> = {} extends Options<O> ? [options?: Options<O>] : [options: Options<O>];

interface AnyOptions {
  path?: Record<string, string>;
  query?: object;
  body?: unknown;
  revision?: number;
  signal?: AbortSignal;
}

/** Told of every answer, so that the page knows how long the sign-in lasts still and when it is over. */
export interface Watcher {
  answered(): void;
  refused(kind: string, code: string): void;
}

let watcher: Watcher | undefined;

export function watch(w: Watcher): void {
  watcher = w;
}

/** The address of a resource, with what is empty left out of the query. */
export function address(path: string, query: object = {}, inPath: Record<string, string> = {}): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(inPath[name] ?? ''));
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(key, String(value));
  }
  const text = search.toString();
  return prefix + filled + (text && `?${text}`);
}

async function request(method: Method, path: string, options: AnyOptions = {}): Promise<unknown> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  if (options.revision !== undefined) headers['If-Match'] = `"${options.revision}"`;
  let answer: Response;
  try {
    answer = await fetch(address(path, options.query, options.path), {
      method: method.toUpperCase(),
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
      credentials: 'same-origin',
    });
  } catch (thrown) {
    if (options.signal?.aborted) throw thrown;
    throw offline();
  }
  if (answer.ok) {
    watcher?.answered();
    return answer.status === 204 ? undefined : await answer.json();
  }
  const problem = await problemOf(answer);
  watcher?.refused(problem.kind, problem.code);
  throw problem;
}

type Call<M extends Method> = <P extends With<M>>(path: P, ...args: Args<paths[P][M]>) => Promise<Answer<paths[P][M]>>;

const verb = <M extends Method>(method: M) =>
  ((path: string, options?: AnyOptions) => request(method, path, options)) as unknown as Call<M>;

/** The box's API: paths, parameters, bodies and answers are checked against its own description. */
export const api = { get: verb('get'), post: verb('post'), put: verb('put'), delete: verb('delete') };

/** Sends a file and tells how much of it has arrived, which fetch cannot. */
export function upload<T>(path: string, file: Blob, progress: (part: number) => void, type = 'text/csv'): Promise<T> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open('POST', prefix + path);
    xhr.setRequestHeader('Content-Type', type);
    xhr.upload.onprogress = (e) => e.lengthComputable && progress(e.loaded / e.total);
    xhr.onerror = () => reject(offline());
    xhr.onload = async () => {
      const answer = new Response(xhr.responseText, { status: xhr.status });
      if (answer.ok) {
        watcher?.answered();
        resolve((await answer.json()) as T);
        return;
      }
      const problem = await problemOf(answer);
      watcher?.refused(problem.kind, problem.code);
      reject(problem);
    };
    xhr.send(file);
  });
}
