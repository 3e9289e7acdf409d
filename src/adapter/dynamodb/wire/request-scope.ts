/** What is known of one request while it is under way. */
import type { Millis } from '../../../platform/index.ts';
import type { Invocation, RequestContext } from '../operation/index.ts';
import type { RequestHead } from './head.ts';

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

function invocationOf(head: RequestHead): Invocation | undefined {
  const id = head.header('amz-sdk-invocation-id');
  if (id === undefined || id === '' || id.length > MAX_INVOCATION_ID) return undefined;
  const attempts = head.header('amz-sdk-request');
  const attempt = attempts === undefined ? 1 : Number(ATTEMPT.exec(attempts)?.[1] ?? 1);
  return { id, attempt: Math.max(1, attempt) };
}

/** See the top of the file. */
export class RequestScope implements RequestContext {
  readonly region: string;
  readonly accountId: string;
  readonly nowMs: Millis;
  readonly deadlineMs: Millis;
  private readonly head: RequestHead;
  /** Made when somebody asks: most requests are over before anybody could give up. */
  private controller: AbortController | undefined;
  private isAbandoned = false;

  constructor(head: RequestHead, { region, accountId, nowMs, deadlineMs }: ScopeFacts) {
    this.head = head;
    this.region = region;
    this.accountId = accountId;
    this.nowMs = nowMs;
    this.deadlineMs = deadlineMs;
  }

  get host(): string {
    return this.head.header('host') ?? 'localhost';
  }

  get invocation(): Invocation | undefined {
    return invocationOf(this.head);
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
