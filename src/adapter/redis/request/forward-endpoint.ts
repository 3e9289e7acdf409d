/** The leader's end of forwarded requests: decodes them, runs them through the same command table, answers with RESP bytes. */
import { type AnswerBytes, type KvService, RangeBusyError } from '../../../kv/index.ts';
import { assertNever, type GroupId } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import type { CommandSpec, EvaluationSettings, KeyPage, PageRequest, ScriptCaller } from '../command/index.ts';
import { decodeStorageKey } from '../keys/index.ts';
import { BEHIND, ErrorReply, encodeReplyParts, errorText, globMatches, type Reply } from '../protocol/index.ts';
import { typeNameOf } from '../values/index.ts';
import { BatchChains, Chain } from './batch-chains.ts';
import {
  decodeMessage,
  type EncodedAnswer,
  encodeAnswers,
  encodeCountAnswer,
  encodePageAnswer,
  FORWARD_SERVICE,
  type ForwardedBatchMessage,
  isReturnable,
} from './forwarded-command.ts';
import { type GroupRequest, isRefusal, type RequestOwner, type SlowEvaluation } from './group-request.ts';
import type { Outcome } from './together.ts';

export interface EndpointEnvironment {
  readonly kv: KvService;
  settings(): EvaluationSettings;
  findData(args: readonly Buffer[]): CommandSpec | undefined;
  readCaller(bytes: Buffer): ScriptCaller;
  /** Runs requests of several groups in their order, each in its turn. @throws NotLeaderError */
  runAcross(group: GroupId, requests: readonly GroupRequest[]): Promise<Outcome[]>;
  /** Told about errors that no layer declares. */
  unexpected(error: unknown): void;
}

type Answer = (error: Error | undefined, reply: AnswerBytes | undefined) => void;

/** Starts to serve forwarded requests of this node's groups. */
export function serveForwarded(environment: EndpointEnvironment): void {
  const chains = new BatchChains();
  environment.kv.onForward(FORWARD_SERVICE, (payload, answer) => {
    const batch = new ForwardedBatch(environment, answer);
    try {
      const message = decodeMessage(payload, {
        settings: environment.settings(),
        owner: batch,
        findData: (args) => environment.findData(args),
        readCaller: (bytes) => environment.readCaller(bytes),
      });
      switch (message.kind) {
        case 'batch':
          batch.run(message, chains.join(message));
          break;
        case 'across':
          settle(answerAcross(environment, message.group, message.requests), answer);
          break;
        case 'page':
          settle(answerPage(environment.kv, message.group, message.page), answer);
          break;
        case 'count':
          settle(environment.kv.countKeys(message.group, message.counterClass).then(encodeCountAnswer), answer);
          break;
        default:
          assertNever(message);
      }
    } catch (error) {
      environment.unexpected(error);
      answer(error as Error, undefined);
    }
  });
}

function settle(reply: Promise<AnswerBytes>, answer: Answer): void {
  reply.then(
    (bytes) => answer(undefined, bytes),
    (error: Error) => answer(error, undefined),
  );
}

/** @throws NotLeaderError: nothing happened */
async function answerAcross(
  environment: EndpointEnvironment,
  group: GroupId,
  requests: readonly GroupRequest[],
): Promise<AnswerBytes> {
  const outcomes = await environment.runAcross(group, requests);
  const slow = new Map<number, readonly SlowEvaluation[]>();
  const answers = requests.map((request, at) => {
    if (request.slow !== undefined) slow.set(at, request.slow);
    const outcome = outcomes[at]!;
    const [error, reply] = 'reply' in outcome ? [undefined, outcome.reply] : [outcome.error as Error, undefined];
    return answerOf(environment, request, error, reply);
  });
  return encodeAnswers(answers, slow);
}

function answerOf(
  environment: EndpointEnvironment,
  request: GroupRequest,
  error: Error | undefined,
  reply: Reply | undefined,
): EncodedAnswer {
  if (isReturnable(error)) return error;
  if (error !== undefined) environment.unexpected(error);
  const outcome = error === undefined ? (reply ?? null) : new ErrorReply(errorText(error, !request.isRepeatable));
  return encodeReplyParts(outcome, request.resp);
}

/** A page, or the group's refusal to serve its start; that this node does not lead is for the layer below to follow. */
async function answerPage(kv: KvService, group: GroupId, page: PageRequest): Promise<Buffer> {
  try {
    return encodePageAnswer(await scanLocalPage(kv, group, page));
  } catch (error) {
    if (isRefusal(error)) return encodePageAnswer(error);
    throw error;
  }
}

const UNANSWERED = new RangeBusyError('the request was not run');

/**
 * Runs the requests of one message in order and answers when the last one is settled. Once the group has refused one of its chain, the
 * later ones are refused too, so that they cannot overtake it.
 */
class ForwardedBatch implements RequestOwner {
  private chain = new Chain();
  private readonly environment: EndpointEnvironment;
  private readonly answer: Answer;
  private answers: EncodedAnswer[] = [];
  /** What took long, by place; undefined for nearly all. */
  private slow: Map<number, readonly SlowEvaluation[]> | undefined;
  private missing = 0;
  private notLed: NotLeaderError | undefined;
  private anyOther = false;

  constructor(environment: EndpointEnvironment, answer: Answer) {
    this.environment = environment;
    this.answer = answer;
  }

  get source(): object {
    return this.chain;
  }

  get firstRefused(): number {
    return this.chain.firstRefused;
  }

  set firstRefused(order: number) {
    this.chain.firstRefused = order;
  }

  /** @param chain that the batch is part of; undefined: it may not run, because what came before it is not known to have run */
  run({ group, requests }: ForwardedBatchMessage, chain: Chain | undefined): void {
    if (chain === undefined || requests.length === 0) {
      this.answer(undefined, encodeAnswers(requests.map(() => BEHIND)));
      return;
    }
    this.chain = chain;
    this.missing = requests.length;
    this.answers = new Array<EncodedAnswer>(requests.length).fill(UNANSWERED);
    const before = chain.length - requests.length;
    for (const request of requests) request.order += before;
    for (const request of requests) this.environment.kv.submit(group, request);
  }

  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void {
    if (error instanceof NotLeaderError) this.notLed = error;
    else this.anyOther = true;
    if (request.slow !== undefined) {
      this.slow ??= new Map();
      this.slow.set(request.token, request.slow);
    }
    this.answers[request.token] = answerOf(this.environment, request, error, reply);
    if (isReturnable(error)) this.firstRefused = Math.min(this.firstRefused, request.order);
    if (--this.missing > 0) return;
    // When nothing at all was proposed, the layer below follows the redirect on its own.
    if (this.notLed !== undefined && !this.anyOther) this.answer(this.notLed, undefined);
    else this.answer(undefined, encodeAnswers(this.answers, this.slow));
  }
}

/**
 * One page of a locally led group's keys, filtered. One row more than asked for is read, so that `next` is a key that
 * exists; it ends early where the group's own keys end. @throws NotLeaderError, NotOwnerError, RangeBusyError
 */
export async function scanLocalPage(kv: KvService, group: GroupId, page: PageRequest): Promise<KeyPage> {
  const { start, end, limit, pattern, typeName } = page;
  const keysOnly = typeName === undefined;
  const { rows, next } = await kv.scan(group, { start, end, limit: limit + 1, keysOnly, headsOnly: true });
  const beyond = rows.length > limit ? rows[limit]!.key : undefined;
  const storageKeys: Buffer[] = [];
  for (let index = 0; index < Math.min(limit, rows.length); index++) {
    const { key, value } = rows[index]!;
    const decoded = decodeStorageKey(key);
    if (decoded === undefined) continue;
    if (pattern !== undefined && !globMatches(pattern, decoded.userKey)) continue;
    if (typeName !== undefined && typeNameOf(value) !== typeName) continue;
    storageKeys.push(key);
  }
  return { storageKeys, next: beyond ?? next, examined: Math.min(limit, rows.length) };
}
