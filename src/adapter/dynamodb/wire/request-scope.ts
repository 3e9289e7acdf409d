/** What is known of one request while it is under way. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Millis } from '../../../platform/index.ts';
import type { Invocation, RequestContext } from '../operation/index.ts';

const MAX_INVOCATION_ID = 128;

/** What does not depend on the operation. */
export interface ScopeFacts {
  readonly region: string;
  readonly accountId: string;
  readonly nowMs: Millis;
  readonly deadlineMs: Millis;
}

/** `attempt=2; max=4`. */
const ATTEMPT = /(?:^|;)\s*attempt=(\d{1,4})\s*(?:;|$)/;

function invocationOf(headers: IncomingHttpHeaders): Invocation | undefined {
  const id = headers['amz-sdk-invocation-id'];
  if (typeof id !== 'string' || id === '' || id.length > MAX_INVOCATION_ID) return undefined;
  const attempts = headers['amz-sdk-request'];
  const attempt = typeof attempts === 'string' ? Number(ATTEMPT.exec(attempts)?.[1] ?? 1) : 1;
  return { id, attempt: Math.max(1, attempt) };
}

/** See the top of the file. */
export class RequestScope implements RequestContext {
  readonly region: string;
  readonly accountId: string;
  readonly nowMs: Millis;
  readonly deadlineMs: Millis;
  private readonly headers: IncomingHttpHeaders;
  /** Made when somebody asks: most requests are over before anybody could give up. */
  private controller: AbortController | undefined;
  private isAbandoned = false;

  constructor(headers: IncomingHttpHeaders, { region, accountId, nowMs, deadlineMs }: ScopeFacts) {
    this.headers = headers;
    this.region = region;
    this.accountId = accountId;
    this.nowMs = nowMs;
    this.deadlineMs = deadlineMs;
  }

  get host(): string {
    return this.headers.host ?? 'localhost';
  }

  get invocation(): Invocation | undefined {
    return invocationOf(this.headers);
  }

  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.isAbandoned) this.controller.abort();
    return this.controller.signal;
  }

  /** The client is gone. */
  abandon(): void {
    this.isAbandoned = true;
    this.controller?.abort();
  }
}
