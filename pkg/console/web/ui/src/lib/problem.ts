import type { Fault, ProblemBody } from './types';

/** A refusal of the box, or of the way to it: what went wrong, and what to do. */
export class Problem extends Error {
  readonly kind: string;
  readonly code: string;
  readonly text: string;
  readonly cure: string;
  readonly faults: Fault[];
  readonly status: number;

  constructor(body: ProblemBody, status = 0) {
    super(`${body.code}: ${body.text}`);
    this.kind = body.kind;
    this.code = body.code;
    this.text = body.text;
    this.cure = body.cure ?? '';
    this.faults = body.faults ?? [];
    this.status = status;
  }
}

/** The box did not answer at all. Its text is the page's own, so it comes in the reader's language. */
export function offline(): Problem {
  return new Problem({ kind: 'offline', code: 'page.offline', text: 'the box does not answer', cure: 'check the network between you and the box' });
}

/** Reads the problem out of an answer that is none. An answer that came from something else, such as a proxy, is told by its status. */
export async function problemOf(answer: Response): Promise<Problem> {
  try {
    const body = (await answer.json()) as ProblemBody;
    if (typeof body.code === 'string' && typeof body.text === 'string') return new Problem(body, answer.status);
  } catch {
    // no JSON: told below
  }
  return new Problem({ kind: 'internal', code: 'page.answer', text: `the answer was not understood (status ${answer.status})`, cure: 'reload the page' }, answer.status);
}

/** Whatever was thrown, as a problem. */
export function asProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem({ kind: 'internal', code: 'page.fault', text: String(thrown), cure: 'reload the page' });
}

/** The faults of one field: of itself, of one of its elements (numbers[0]), or of it inside another (secret.password). */
export function faultsOf(problem: Problem | null, ...fields: string[]): Fault[] {
  return (problem?.faults ?? []).filter((f) => fields.some((field) => belongs(f.path, field)));
}

/** The faults that belong to none of the fields on the form: they are shown above it. */
export function otherFaults(problem: Problem | null, ...fields: string[]): Fault[] {
  return (problem?.faults ?? []).filter((f) => !fields.some((field) => belongs(f.path, field)));
}

function belongs(path: string, field: string): boolean {
  return path === field || path.startsWith(`${field}[`) || path.endsWith(`.${field}`);
}
