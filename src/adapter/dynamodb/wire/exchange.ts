/** What happens to one request: gate, body, signature, JSON, constraints, the operation, and its answer or exception. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Clock, Millis, Random } from '../../../platform/index.ts';
import { asDynamoError, DynamoError, isUnforeseen } from '../errors/index.ts';
import type { AnyOperation } from '../operation/index.ts';
import { checkConstraints } from '../validation/index.ts';
import { type Answer, checksumOf, compressed, errorAnswer, outputAnswer, requestId } from './answer.ts';
import { type BodyRoom, decompressed, readBody } from './body.ts';
import { Counters } from './counters.ts';
import type { CredentialSource } from './credentials.ts';
import { type Admitted, admit, contentTypeOf, JSON_TYPE, regionOf, speaksJson } from './gate.ts';
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

/** One request on its way. */
class Underway implements BodyRoom {
  private readonly budget: MemoryBudget;
  private heldBytes = 0;
  scope: RequestScope | undefined;
  operation: string | undefined;

  constructor(budget: MemoryBudget) {
    this.budget = budget;
  }

  get isUsedUp(): boolean {
    return this.budget.isUsedUp;
  }

  hold(bytes: number): void {
    this.heldBytes += bytes;
    this.budget.hold(bytes);
  }

  release(): void {
    this.budget.release(this.heldBytes);
    this.heldBytes = 0;
  }
}

/** See the top of the file. */
export class Exchanges {
  readonly counters = new Counters();
  private readonly options: ExchangeOptions;
  private readonly verifier = new SignatureVerifier();
  private underWay = 0;

  constructor(options: ExchangeOptions) {
    this.options = options;
  }

  /** Answers a request. Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): Promise<void> {
    const { clock, budget } = this.options;
    const beganMs = clock.monotonicMs();
    const underway = new Underway(budget);
    this.underWay++;
    response.once('close', () => {
      this.underWay--;
      underway.release();
      if (!response.writableFinished) underway.scope?.abandon();
    });
    // A connection that breaks is no concern of whoever writes to it.
    request.on('error', () => {});
    response.on('error', () => {});
    let answer: Answer;
    try {
      answer = await this.answerFor(request, response, underway, awaitsContinue);
    } catch (error) {
      answer = this.exception(error, underway.operation, contentTypeOf(request));
    }
    if (underway.operation !== undefined) this.counters.called(underway.operation, clock.monotonicMs() - beganMs);
    if (response.destroyed) return;
    underway.hold(answer.body.length);
    this.counters.sentBytes += answer.body.length;
    response.writeHead(answer.status, { ...answer.headers, ...this.headersOf(request, answer.body) });
    response.end(answer.body);
  }

  private headersOf(request: IncomingMessage, body: Buffer): OutgoingHttpHeaders {
    const headers = {
      Server: 'Server',
      'x-amzn-RequestId': requestId(this.options.random),
      'x-amz-crc32': checksumOf(body),
      'Content-Length': body.length,
    };
    if (request.headers.origin === undefined) return headers;
    return {
      ...headers,
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Expose-Headers': 'x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date',
    };
  }

  private async answerFor(
    request: IncomingMessage,
    response: ServerResponse,
    underway: Underway,
    awaitsContinue: boolean,
  ): Promise<Answer> {
    const path = (request.url ?? '/').split('?')[0]!;
    if (request.method === 'OPTIONS' && request.headers.origin !== undefined) return preflight(request);
    if (request.method === 'GET' && path === '/') return healthy(request);
    if (!speaksJson(request, path)) return NOT_FOUND;
    const { operations, credentials, clock } = this.options;
    const nowMs = clock.nowMs();
    const admitted = admit(request, operations, credentials, nowMs);
    underway.operation = admitted.model.name;
    if (this.underWay > MAX_UNDER_WAY || underway.isUsedUp) throw new DynamoError('ThrottlingException', THROTTLED);
    if (awaitsContinue) response.writeContinue();
    const sent = await readBody(request, underway);
    if (sent === 'too-large') return TOO_LARGE;
    if (sent === 'no-room') throw new DynamoError('ThrottlingException', THROTTLED);
    // Nobody is there to read an answer.
    if (sent === 'gone') return NOT_FOUND;
    this.counters.receivedBytes += sent.length;
    const { method = '', url = '/', rawHeaders } = request;
    if (admitted.terms !== undefined) {
      this.verifier.verify({ method, url, rawHeaders }, admitted.values, admitted.terms, sent);
    }
    const body = await decompressed(sent, request.headers['content-encoding']);
    if (body === undefined) return TOO_LARGE;
    if (body !== sent) underway.hold(body.length);
    underway.scope = this.scopeOf(request, admitted, nowMs);
    const output = await this.run(admitted, body, underway.scope);
    return compressed(outputAnswer(output, contentTypeOf(request)), headerText(request, 'accept-encoding'));
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

  private scopeOf(request: IncomingMessage, { terms }: Admitted, nowMs: Millis): RequestScope {
    const { accountId, region, clock } = this.options;
    return new RequestScope(request.headers, {
      region: region ?? terms?.region ?? regionOf(request) ?? DEFAULT_REGION,
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
const NOT_FOUND: Answer = { status: 404, headers: {}, body: Buffer.from('<UnknownOperationException/>\n') };
const TOO_LARGE: Answer = { status: 413, headers: {}, body: EMPTY };

const healthy = ({ headers }: IncomingMessage): Answer => ({
  status: 200,
  headers: { 'Content-Type': 'text/plain' },
  body: Buffer.from(`healthy: ${headers.host ?? ''} `),
});

function headerText({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** What a browser asks before it lets a page call. */
function preflight(request: IncomingMessage): Answer {
  const asked = headerText(request, 'access-control-request-headers');
  const method = headerText(request, 'access-control-request-method');
  return {
    status: 200,
    headers: {
      ...(asked === undefined ? {} : { 'Access-Control-Allow-Headers': asked }),
      ...(method === undefined ? {} : { 'Access-Control-Allow-Methods': method }),
      'Access-Control-Max-Age': '172800',
    },
    body: EMPTY,
  };
}
