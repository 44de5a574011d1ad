import { session } from './session.svelte';

/**
 * Why what messages say is read. It is asked for once in a sign-in, sent with each look, and stands
 * in the audit log.
 */
class Reading {
  private given = $state('');
  private by = $state(''); // the sign-in that it was given in

  private get signedIn(): string {
    return session.state === 'in' ? `${session.me?.name} ${session.me?.ends}` : '';
  }

  get reason(): string {
    return this.by !== '' && this.by === this.signedIn ? this.given : '';
  }

  begin(reason: string): void {
    this.given = reason.trim();
    this.by = this.signedIn;
  }

  end(): void {
    this.given = '';
  }

  /** What a query needs so that its answer says what messages say; nothing where that is not read. */
  query(): Record<string, string> {
    return this.reason ? { content: 'true', reason: this.reason } : {};
  }
}

export const reading = new Reading();
