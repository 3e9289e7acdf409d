/** What happens to one request: gate, body, signature, JSON, constraints, the operation, and its answer or exception. */
import type { Clock, Millis, Random } from '../../../platform/index.ts';
import { asDynamoError, DynamoError, isUnforeseen } from '../errors/index.ts';
import type { AnyOperation } from '../operation/index.ts';
import { checkConstraints } from '../validation/index.ts';
import { type Answer, checksumOf, compressed, errorAnswer, isLong, outputAnswer, requestId } from './answer.ts';
import { type BodyRoom, decompressed, type Unread } from './body.ts';
import { Counters } from './counters.ts';
import type { CredentialSource } from './credentials.ts';
import { type Admitted, admit, contentTypeOf, JSON_TYPE, regionOf, speaksJson } from './gate.ts';
import type { RequestHead } from './head.ts';
import { parseJsonBody } from './json-body.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { RequestScope } from './request-scope.ts';
import { SignatureVerifier } from './signature.ts';
import { typedTree } from './typed-tree.ts';

/** How long an operation is worked on; SDKs give up later, or never. */
const OPERATION_TIMEOUT_MS: Millis = 20_000;
/** Requests that have not been answered, of all connections; each holds a few kilobytes beside its body. */
const MAX_UNDER_WAY = 10_000;
const DEFAULT_REGION = 'us-east-1';

/** The part of a pino logger that is used. */
export interface ExchangeLogger {
  error(facts: object, message: string): void;
}

export interface ExchangeOptions {
  readonly operations: ReadonlyMap<string, AnyOperation>;
  /** Undefined asks nobody for a signature. */
  readonly credentials: CredentialSource | undefined;
  /** Undefined takes that of each request. */
  readonly region: string | undefined;
  readonly accountId: string;
  /** Whether writes may begin; `passed` settles when there is nothing left to wait for. */
  readonly gate?: { readonly isActive: boolean; passed(deadlineMs: Millis): Promise<void> };
  readonly budget: MemoryBudget;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: ExchangeLogger | undefined;
}

const EMPTY = Buffer.alloc(0);
const THROTTLED = 'The node has no room for more requests at the moment; nothing was changed.';

/** A body that is there, or how to get it: by then it is known whether anybody wants it. */
export type BodySource = Buffer | (() => Promise<Buffer | Unread>);

/** One request on its way. Whoever has its connection says when it is over. */
export class Underway implements BodyRoom {
  private readonly budget: MemoryBudget;
  private readonly load: { requests: number };
  private heldBytes = 0;
  private isOver = false;
  scope: RequestScope | undefined;
  operation: string | undefined;

  constructor(budget: MemoryBudget, load: { requests: number }) {
    this.budget = budget;
    this.load = load;
    load.requests++;
  }

  get isUsedUp(): boolean {
    return this.budget.isUsedUp;
  }

  hold(bytes: number): void {
    if (this.isOver) return;
    this.heldBytes += bytes;
    this.budget.hold(bytes);
  }

  /** Once: the answer has left, or nobody is there any more to take it. */
  end(isAnswered: boolean): void {
    this.isOver = true;
    this.load.requests--;
    this.budget.release(this.heldBytes);
    this.heldBytes = 0;
    if (!isAnswered) this.scope?.abandon();
  }
}

/** See the top of the file. */
export class Exchanges {
  readonly counters = new Counters();
  /** Of what waits on connections. */
  readonly budget: MemoryBudget;
  private readonly options: ExchangeOptions;
  private readonly verifier = new SignatureVerifier();
  private readonly load = { requests: 0 };

  constructor(options: ExchangeOptions) {
    this.options = options;
    this.budget = options.budget;
  }

  /** A request has come; it counts until its end. */
  begin(): Underway {
    return new Underway(this.options.budget, this.load);
  }

  /** What a request is answered. Never rejects. */
  async answer(underway: Underway, head: RequestHead, body: BodySource): Promise<Answer> {
    const { clock } = this.options;
    const beganMs = clock.monotonicMs();
    const contentType = contentTypeOf(head);
    let answer: Answer;
    try {
      answer = await this.answerFor(underway, head, contentType, body);
    } catch (error) {
      answer = this.exception(error, underway.operation, contentType);
    }
    if (underway.operation !== undefined) this.counters.called(underway.operation, clock.monotonicMs() - beganMs);
    underway.hold(answer.body.length);
    this.counters.sentBytes += answer.body.length;
    return { ...answer, headers: this.headersOf(head, answer) };
  }

  private headersOf(head: RequestHead, { headers, body }: Answer): string[] {
    const all = headers.slice();
    all.push('Server', 'Server', 'x-amzn-RequestId', requestId(this.options.random));
    all.push('x-amz-crc32', checksumOf(body), 'Content-Length', String(body.length));
    if (head.header('origin') !== undefined) {
      all.push('Access-Control-Allow-Origin', '*');
      all.push('Access-Control-Expose-Headers', 'x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date');
    }
    return all;
  }

  private async answerFor(
    underway: Underway,
    head: RequestHead,
    contentType: string,
    body: BodySource,
  ): Promise<Answer> {
    const { method, url } = head;
    const path = url.split('?')[0]!;
    if (method === 'OPTIONS' && head.header('origin') !== undefined) return preflight(head);
    if (method === 'GET' && path === '/') return healthy(head);
    if (!speaksJson(head, path, contentType)) return NOT_FOUND;
    const { operations, credentials, clock } = this.options;
    const nowMs = clock.nowMs();
    const admitted = admit(head, operations, this.verifier, credentials, nowMs);
    underway.operation = admitted.model.name;
    if (this.load.requests > MAX_UNDER_WAY || underway.isUsedUp) {
      throw new DynamoError('ThrottlingException', THROTTLED);
    }
    if (typeof body !== 'function') underway.hold(body.length);
    const sent = typeof body === 'function' ? await body() : body;
    if (sent === 'too-large') return TOO_LARGE;
    if (sent === 'no-room') throw new DynamoError('ThrottlingException', THROTTLED);
    // Nobody is there to read an answer.
    if (sent === 'gone') return NOT_FOUND;
    this.counters.receivedBytes += sent.length;
    if (admitted.terms !== undefined) this.verifier.verify(head, head.values, admitted.terms, sent);
    const encoding = head.header('content-encoding');
    const plain = encoding === undefined ? sent : await decompressed(sent, encoding);
    if (plain === undefined) return TOO_LARGE;
    if (plain !== sent) underway.hold(plain.length);
    underway.scope = this.scopeOf(head, admitted, nowMs);
    const answer = outputAnswer(await this.run(admitted, plain, underway.scope), contentType);
    return isLong(answer) ? compressed(answer, head.header('accept-encoding')) : answer;
  }

  private async run({ model, operation, terms }: Admitted, body: Buffer, scope: RequestScope): Promise<object> {
    const tree = typedTree(model.shape, parseJsonBody(body));
    checkConstraints(model.shape, tree);
    const prepared = operation.prepare(tree);
    if (prepared.access === 'write' && terms?.credential.access === 'read') {
      throw new DynamoError(
        'AccessDeniedException',
        `User: arn:aws:iam::${scope.accountId}:user/${terms.credential.accessKeyId} is not authorized to perform: ` +
          `dynamodb:${model.name} because its access key is for reading only`,
      );
    }
    const { gate } = this.options;
    if (prepared.access === 'write' && gate?.isActive === false) await gate.passed(scope.deadlineMs);
    return prepared.run(scope);
  }

  private scopeOf(head: RequestHead, { terms }: Admitted, nowMs: Millis): RequestScope {
    const { accountId, region, clock } = this.options;
    return new RequestScope(head, {
      region: region ?? terms?.region ?? regionOf(head) ?? DEFAULT_REGION,
      accountId,
      nowMs,
      deadlineMs: clock.monotonicMs() + OPERATION_TIMEOUT_MS,
    });
  }

  private exception(error: unknown, operation: string | undefined, contentType: string): Answer {
    const exception = asDynamoError(error);
    this.counters.failed(exception.type);
    if (isUnforeseen(error)) {
      this.options.logger?.error({ err: error, operation }, 'a DynamoDB operation failed in a way that nobody foresaw');
    }
    return errorAnswer(exception, contentType === '' ? JSON_TYPE : contentType);
  }
}

/** Neither this service nor this protocol. */
const NOT_FOUND: Answer = { status: 404, headers: [], body: Buffer.from('<UnknownOperationException/>\n') };
const TOO_LARGE: Answer = { status: 413, headers: [], body: EMPTY };

const healthy = (head: RequestHead): Answer => ({
  status: 200,
  headers: ['Content-Type', 'text/plain'],
  body: Buffer.from(`healthy: ${head.header('host') ?? ''} `),
});

/** What a browser asks before it lets a page call. */
function preflight(head: RequestHead): Answer {
  const asked = head.header('access-control-request-headers');
  const method = head.header('access-control-request-method');
  return {
    status: 200,
    headers: [
      ...(asked === undefined ? [] : ['Access-Control-Allow-Headers', asked]),
      ...(method === undefined ? [] : ['Access-Control-Allow-Methods', method]),
      ...['Access-Control-Max-Age', '172800'],
    ],
    body: EMPTY,
  };
}
