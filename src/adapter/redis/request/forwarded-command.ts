/**
 * How requests travel from the node that a client is connected to (the ingress) to the leader of their group, and how the
 * answers come back. A batch keeps its order; each reply comes back as RESP bytes that the ingress passes on unchanged.
 *
 * Layout (integers big endian, `bytes` is u32 length + bytes): u8 format, u8 message kind, u32 group, then by kind.
 */
import { type AnswerBytes, decodeError, encodeError, NotOwnerError, RangeBusyError } from '../../../kv/index.ts';
import {
  ByteReader,
  ByteWriter,
  type GroupId,
  groupId,
  hlcTimestamp,
  KvorumError,
  type Millis,
} from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { DEFAULT_ENCODINGS, type EncodingThresholds } from '../bodies/index.ts';
import type { CommandSpec, EvaluationSettings, KeyPage, PageRequest, ScriptCaller } from '../command/index.ts';
import { BEHIND, BehindError, RedisError } from '../protocol/index.ts';
import { decodeQueue, MessageReader } from './forwarded-queue.ts';
import {
  CommandRequest,
  FlushRequest,
  type GroupRequest,
  type RequestOptions,
  type RequestOwner,
  RowsRequest,
  type SlowEvaluation,
} from './group-request.ts';
import type { QueuedData } from './storage-keys.ts';
import { TransactionRequest, WatchRequest } from './transaction-requests.ts';

/** The service name under which the adapter forwards. */
export const FORWARD_SERVICE = 'redis';

/** Raised when a layout below changes; a leader refuses what it does not know. */
const FORMAT = 3;

/** Wire values: never renumber. `Across` is the feature `redis.across`. */
const MessageKind = { Batch: 1, Page: 2, Count: 3, MeasuredBatch: 4, ChainedBatch: 5, Across: 6 } as const;
const RequestKind = { Command: 0, Transaction: 1, Watch: 2, Flush: 3, Rows: 4 } as const;
/** Added to a kind of request: the thresholds of encodings follow, because the client's node has other ones than usual. */
const WITH_THRESHOLDS = 0x80;
/** Added to a kind of request: the user who has called follows, because it may not do everything. Part of the feature `redis.acl`. */
const WITH_CALLER = 0x40;
/** Added to a kind of request: the number of the client follows, because it does not want to hear of its own changes. Part of `redis.messaging`. */
const WITH_CLIENT = 0x20;
const LENGTH_BYTES = 4;
const AnswerStatus = { Reply: 0, NotLed: 1, NotOwner: 2, Busy: 3, Behind: 4, Other: 5, SlowReply: 6 } as const;

const MICROS_PER_MS = 1_000;

/** For a node that does not want to know how long evaluations took. */
const TELL_NOTHING = 0xffff_ffff_ffff_ffffn;

/**
 * Where a batch stands among those of one sender that are under way together. Only a leader that has run all before it without refusing any may run it.
 * Part of the feature `redis.chains`.
 */
export interface ChainPlace {
  /** Whole number below 2^53 that no other chain has, whatever connection, group, node, or life of a node it is of. */
  readonly chain: number;
  /** Requests before it; 0 begins a chain. */
  readonly place: number;
}

/** Requests of one group, in their order. */
export interface ForwardedBatchMessage {
  readonly kind: 'batch';
  readonly group: GroupId;
  readonly requests: readonly GroupRequest[];
  /** Undefined: nothing else of its sender is under way. */
  readonly chain: ChainPlace | undefined;
}

/** What a leader is asked. */
export type ForwardedMessage =
  | ForwardedBatchMessage
  /** Requests of several groups, to be run by the leader of one of them in transactions over all of their groups. */
  | { readonly kind: 'across'; readonly group: GroupId; readonly requests: readonly GroupRequest[] }
  | { readonly kind: 'page'; readonly group: GroupId; readonly page: PageRequest }
  | { readonly kind: 'count'; readonly group: GroupId; readonly counterClass: number };

/** What a batch has beside the bytes of its requests; more makes the writer grow. */
const BATCH_BYTES = 256;
/** What a request, an argument or a row has beside its bytes, at most as a rule. */
const ITEM_BYTES = 32;

/** About what requests take: a writer that grows copies what it has, of a large value again and again. */
function bytesOf(requests: readonly GroupRequest[]): number {
  let bytes = BATCH_BYTES;
  for (const request of requests) {
    bytes += ITEM_BYTES;
    if (request instanceof RowsRequest) {
      for (const { key, value } of request.rows) bytes += ITEM_BYTES + key.length + value.length;
    }
    for (const { args } of request.commands) for (const arg of args) bytes += LENGTH_BYTES + arg.length;
  }
  return bytes;
}

function header(kind: number, group: GroupId, expectedBytes = BATCH_BYTES): ByteWriter {
  const writer = new ByteWriter(expectedBytes);
  writer.u8(FORMAT);
  writer.u8(kind);
  writer.u32(group);
  return writer;
}

/** Encodes requests of one group, in the order in which they must run. */
export function encodeBatch(group: GroupId, requests: readonly GroupRequest[], chain?: ChainPlace): Buffer {
  const tellFromMs = tellsFrom(requests[0]);
  const isMeasured = tellFromMs !== Number.POSITIVE_INFINITY;
  const measuredKind = isMeasured ? MessageKind.MeasuredBatch : MessageKind.Batch;
  const kind = chain === undefined ? measuredKind : MessageKind.ChainedBatch;
  const writer = header(kind, group, bytesOf(requests));
  if (isMeasured) writer.u64(BigInt(Math.round(tellFromMs * MICROS_PER_MS)));
  else if (chain !== undefined) writer.u64(TELL_NOTHING);
  if (chain !== undefined) writer.u53(chain.chain).u32(chain.place);
  writer.u32(requests.length);
  for (const request of requests) encodeRequest(writer, request);
  return writer.finishView();
}

/** Encodes requests of several groups for the leader of one of them, in the order in which they must run. */
export function encodeAcross(group: GroupId, requests: readonly GroupRequest[]): Buffer {
  const tellFromMs = tellsFrom(requests[0]);
  const writer = header(MessageKind.Across, group, bytesOf(requests));
  writer.u64(tellFromMs === Number.POSITIVE_INFINITY ? TELL_NOTHING : BigInt(Math.round(tellFromMs * MICROS_PER_MS)));
  writer.u32(requests.length);
  for (const request of requests) encodeRequest(writer, request);
  return writer.finishView();
}

/** From which time on this node wants to know how long evaluations took. A leader that still runs release 0.1.0 cannot tell. */
function tellsFrom(request: GroupRequest | undefined): Millis {
  const settings = request?.settings;
  if (settings?.meter === undefined || settings.mayCreateBodies?.() === false) return Number.POSITIVE_INFINITY;
  return settings.meter.leastMs;
}

/** Encodes the request for one page of a scan. */
export function encodePage(group: GroupId, page: PageRequest): Buffer {
  const writer = header(MessageKind.Page, group);
  writer.bytes(page.start);
  writer.bytes(page.end);
  writer.u32(page.limit);
  writer.u8(page.pattern === undefined ? 0 : 1);
  if (page.pattern !== undefined) writer.bytes(page.pattern);
  writer.u8(page.typeName === undefined ? 0 : 1);
  if (page.typeName !== undefined) writer.bytes(Buffer.from(page.typeName));
  return writer.finishView();
}

/** Encodes the request for the number of keys in a counter class. */
export function encodeCount(group: GroupId, counterClass: number): Buffer {
  const writer = header(MessageKind.Count, group);
  writer.u32(counterClass);
  return writer.finishView();
}

function encodeRequest(writer: ByteWriter, request: GroupRequest): void {
  const { encodings = DEFAULT_ENCODINGS, mayCreateBodies, caller, quietClient } = request.settings;
  // A leader that still runs release 0.1.0 has nothing that they would be about, and does not know them.
  const isUsual = encodings === DEFAULT_ENCODINGS || mayCreateBodies?.() === false;
  const kindAndResp = (kind: number) => {
    const extras = (isUsual ? 0 : WITH_THRESHOLDS) | (caller === undefined ? 0 : WITH_CALLER);
    writer.u8(kind | extras | (quietClient === undefined ? 0 : WITH_CLIENT));
    writer.u8(request.resp);
    if (!isUsual) encodeThresholds(writer, encodings);
    if (caller !== undefined) writer.bytes(caller.encode());
    if (quietClient !== undefined) writer.u53(quietClient);
  };
  if (request instanceof CommandRequest) {
    kindAndResp(RequestKind.Command);
    encodeCommand(writer, request);
  } else if (request instanceof TransactionRequest) {
    kindAndResp(RequestKind.Transaction);
    writer.u32(request.watched.length);
    for (const { storageKey, version } of request.watched) {
      writer.bytes(storageKey);
      writer.u64(version);
    }
    writer.u32(request.commands.length);
    for (const command of request.commands) encodeCommand(writer, command);
  } else if (request instanceof WatchRequest) {
    kindAndResp(RequestKind.Watch);
    writer.u32(request.keys.length);
    for (const key of request.keys) writer.bytes(key);
  } else if (request instanceof FlushRequest) {
    kindAndResp(RequestKind.Flush);
    writer.bytes(request.range.start);
    writer.bytes(request.range.end);
  } else if (request instanceof RowsRequest) {
    kindAndResp(RequestKind.Rows);
    writer.u32(request.rows.length);
    for (const { key, value, expireTs } of request.rows) writer.bytes(key).bytes(value).u64(expireTs);
  }
}

function encodeCommand(writer: ByteWriter, command: QueuedData): void {
  writer.u8(command.db);
  writer.u32(command.args.length);
  for (const arg of command.args) writer.bytes(arg);
}

/** What decoding needs to make requests that can run. */
export interface DecodeEnvironment {
  readonly settings: EvaluationSettings;
  readonly owner: RequestOwner;
  /** Reads a user that has called. */
  readCaller(bytes: Buffer): ScriptCaller;
  /** Finds the declaration that a command's arguments call for. */
  findData(args: readonly Buffer[]): CommandSpec | undefined;
}

/**
 * Decodes a message; requests of a batch get their position as token. Byte fields are views of `payload`.
 * @throws RedisError for a format or a command that this node does not know, RangeError when it is cut short
 */
export function decodeMessage(payload: Buffer, environment: DecodeEnvironment): ForwardedMessage {
  const reader = new MessageReader(payload, 'a forwarded message', RangeError);
  const format = reader.u8();
  if (format !== FORMAT) throw new RedisError(`ERR the leader does not know format ${format} of forwarded commands`);
  const kind = reader.u8();
  const group = groupId(reader.u32());
  switch (kind) {
    case MessageKind.Batch:
    case MessageKind.MeasuredBatch:
    case MessageKind.ChainedBatch: {
      const tellFromMs = kind === MessageKind.Batch ? Number.POSITIVE_INFINITY : decodeTellFrom(reader);
      const isChained = kind === MessageKind.ChainedBatch;
      const chain = isChained ? { chain: reader.u53(), place: reader.u32() } : undefined;
      return { kind: 'batch', group, requests: decodeRequests(reader, environment, tellFromMs), chain };
    }
    case MessageKind.Across: {
      const tellFromMs = decodeTellFrom(reader);
      return { kind: 'across', group, requests: decodeRequests(reader, environment, tellFromMs) };
    }
    case MessageKind.Page: {
      const start = reader.view();
      const end = reader.view();
      const limit = reader.u32();
      const pattern = reader.u8() === 1 ? reader.view() : undefined;
      const typeName = reader.u8() === 1 ? reader.view().toString() : undefined;
      return { kind: 'page', group, page: { start, end, limit, pattern, typeName } };
    }
    case MessageKind.Count:
      return { kind: 'count', group, counterClass: reader.u32() };
    default:
      throw new RedisError(`ERR the leader does not know message kind ${kind}`);
  }
}

/** They change when somebody configures the node: each is copied once. */
const usualEncodings = new WeakMap<EvaluationSettings, EvaluationSettings>();

/** Thresholds are those of the node that a client is connected to, not of the one that evaluates. */
function withUsualEncodings(settings: EvaluationSettings): EvaluationSettings {
  let usual = usualEncodings.get(settings);
  if (usual === undefined) {
    usual = { ...settings, encodings: DEFAULT_ENCODINGS };
    usualEncodings.set(settings, usual);
  }
  return usual;
}

function decodeTellFrom(reader: ByteReader): Millis {
  const micros = reader.u64();
  return micros === TELL_NOTHING ? Number.POSITIVE_INFINITY : Number(micros) / MICROS_PER_MS;
}

function decodeRequests(reader: MessageReader, environment: DecodeEnvironment, tellFromMs: Millis): GroupRequest[] {
  const requests: GroupRequest[] = [];
  const count = reader.u32();
  const usual = withUsualEncodings(environment.settings);
  for (let token = 0; token < count; token++) {
    const request = decodeRequest(reader, environment, usual, token);
    request.tellFromMs = tellFromMs;
    requests.push(request);
  }
  return requests;
}

function decodeRequest(
  reader: MessageReader,
  environment: DecodeEnvironment,
  usual: EvaluationSettings,
  token: number,
): GroupRequest {
  const kind = reader.u8();
  const resp = reader.u8() === 3 ? 3 : 2;
  const { owner } = environment;
  const ofNode = (kind & WITH_THRESHOLDS) === 0 ? usual : { ...usual, encodings: decodeThresholds(reader) };
  const ofUser = (kind & WITH_CALLER) === 0 ? ofNode : { ...ofNode, caller: environment.readCaller(reader.view()) };
  const settings = (kind & WITH_CLIENT) === 0 ? ofUser : { ...ofUser, quietClient: reader.u53() };
  const options: RequestOptions = { resp, settings, owner, token };
  switch (kind & ~(WITH_THRESHOLDS | WITH_CALLER | WITH_CLIENT)) {
    case RequestKind.Command:
      return new CommandRequest({ ...options, ...decodeCommand(reader, environment) });
    case RequestKind.Transaction: {
      const watched = Array.from({ length: reader.u32() }, () => ({
        storageKey: reader.view(),
        version: hlcTimestamp(reader.u64()),
      }));
      return new TransactionRequest(
        watched,
        decodeQueue(reader, (args) => specOf(args, environment)),
        options,
      );
    }
    case RequestKind.Watch: {
      const keys = Array.from({ length: reader.u32() }, () => reader.view());
      return new WatchRequest(keys, options);
    }
    case RequestKind.Flush: {
      const start = reader.view();
      return new FlushRequest({ start, end: reader.view() }, options);
    }
    case RequestKind.Rows: {
      const rows = Array.from({ length: reader.u32() }, () => ({
        key: reader.view(),
        value: reader.view(),
        expireTs: hlcTimestamp(reader.u64()),
      }));
      return new RowsRequest(rows, options);
    }
    default:
      throw new RedisError(`ERR the leader does not know request kind ${kind}`);
  }
}

function encodeThresholds(writer: ByteWriter, encodings: EncodingThresholds): void {
  const { hashFields, hashBytes, setIntegers, orderMembers, orderBytes, sketchBytes } = encodings;
  for (const one of [hashFields, hashBytes, setIntegers, orderMembers, orderBytes, sketchBytes])
    writer.u64(BigInt(one));
}

function decodeThresholds(reader: ByteReader): EncodingThresholds {
  const next = (): number => Number(reader.u64());
  return {
    hashFields: next(),
    hashBytes: next(),
    setIntegers: next(),
    orderMembers: next(),
    orderBytes: next(),
    sketchBytes: next(),
  };
}

function decodeCommand(reader: ByteReader, environment: DecodeEnvironment): QueuedData {
  const db = reader.u8();
  const args: Buffer[] = [];
  const count = reader.u32();
  for (let index = 0; index < count; index++) args.push(reader.view());
  return { spec: specOf(args, environment), args, db };
}

function specOf(args: readonly Buffer[], { findData }: DecodeEnvironment): CommandSpec {
  const spec = findData(args);
  if (spec === undefined) throw new RedisError(`ERR the leader does not know the command '${args[0]}'`);
  return spec;
}

/** An error that travels as such, because the ingress acts on it. Nothing happened. */
export type Refusal = KvorumError;

/** Whoever says so has waited already, knows that it is too late, or that it will not pass soon. */
const SETTLED_CODES: ReadonlySet<string> = new Set(['LEADER_UNAVAILABLE', 'OVERTAKEN', 'KEY_VERSION_PRESSURE']);

/** One request's answer: RESP bytes, or why it was not run. */
export type ForwardedAnswer = Buffer | Refusal;

/** True for the errors after which a request is sent again, here or elsewhere: nothing happened, and it will pass. */
export const isReturnable = (error: unknown): error is Refusal =>
  error instanceof KvorumError &&
  (error.disposition === 'redirect' || error.disposition === 'wait' || error.disposition === 'restart') &&
  !SETTLED_CODES.has(error.code);

/** The same on its way out: a reply in parts that follow each other. */
export type EncodedAnswer = readonly Buffer[] | Refusal;

function encodeStatus(writer: ByteWriter, answer: Refusal | undefined): void {
  if (answer instanceof NotOwnerError) {
    writer.u8(AnswerStatus.NotOwner);
    writer.u32(answer.hint ?? 0);
  } else if (answer instanceof RangeBusyError) {
    writer.u8(AnswerStatus.Busy);
  } else if (answer instanceof NotLeaderError) {
    writer.u8(AnswerStatus.NotLed);
  } else if (answer instanceof BehindError) {
    writer.u8(AnswerStatus.Behind);
  } else if (answer instanceof KvorumError) {
    writer.u8(AnswerStatus.Other);
    writer.bytes(encodeError(answer));
  } else {
    writer.u8(AnswerStatus.Reply);
  }
}

/** Is told what took long of the request in a place. */
type TookLong = (place: number, slow: readonly SlowEvaluation[]) => void;

/** Errors decoded from one message; equal ones are made once, because an error records where it was made. */
class RefusalDecoder {
  private readonly tookLong: TookLong;
  private notLed: NotLeaderError | undefined;
  private busy: RangeBusyError | undefined;
  private notOwner: NotOwnerError | undefined;

  /** @param tookLong is told what took long, where that stands in front of a reply */
  constructor(tookLong: TookLong = () => {}) {
    this.tookLong = tookLong;
  }

  /**
   * Reads a status; undefined means that a reply follows. @throws RangeError when it is cut short or unknown
   * @param place of the request that is answered
   */
  read(reader: ByteReader, place = 0): Refusal | undefined {
    const status = reader.u8();
    switch (status) {
      case AnswerStatus.Reply:
        return undefined;
      case AnswerStatus.SlowReply:
        this.tookLong(place, decodeSlow(reader));
        return undefined;
      case AnswerStatus.NotLed:
        this.notLed ??= new NotLeaderError(undefined);
        return this.notLed;
      case AnswerStatus.Busy:
        this.busy ??= new RangeBusyError('the range is being handed over');
        return this.busy;
      case AnswerStatus.Behind:
        return BEHIND;
      case AnswerStatus.Other: {
        const error = decodeError(reader.view());
        if (error instanceof KvorumError) return error;
        throw new RangeError('a forwarded answer has no known error');
      }
      case AnswerStatus.NotOwner: {
        const group = reader.u32();
        const hint = group === 0 ? undefined : groupId(group);
        if (this.notOwner === undefined || this.notOwner.hint !== hint) this.notOwner = new NotOwnerError(hint);
        return this.notOwner;
      }
      default:
        throw new RangeError(`status ${status} of a forwarded answer is unknown`);
    }
  }
}

/** What took long of the requests of a batch, by their place in it. */
type SlowInBatch = ReadonlyMap<number, readonly SlowEvaluation[]>;

function encodeSlow(writer: ByteWriter, slow: readonly SlowEvaluation[]): void {
  writer.u8(AnswerStatus.SlowReply);
  writer.u32(slow.length);
  for (const { at, tookMs } of slow) {
    writer.u32(at);
    writer.u64(BigInt(Math.round(tookMs * MICROS_PER_MS)));
  }
}

const decodeSlow = (reader: ByteReader): SlowEvaluation[] =>
  Array.from({ length: reader.u32() }, () => ({ at: reader.u32(), tookMs: Number(reader.u64()) / MICROS_PER_MS }));

/** Parts of replies from this size on are not copied. */
const PASSED_ON_BYTES = 64 * 1024;
/** Of an answer beside its reply, about. */
const STATUS_BYTES = 16;

/**
 * Encodes the answers to a batch, in the order of its requests.
 * @param slow only for a node that has asked for it
 */
export function encodeAnswers(answers: readonly EncodedAnswer[], slow?: SlowInBatch): AnswerBytes {
  const done: Buffer[] = [];
  let writer = new ByteWriter(roomFor(answers));
  writer.u32(answers.length);
  for (let place = 0; place < answers.length; place++) {
    const answer = answers[place]!;
    if (answer instanceof Error) {
      encodeStatus(writer, answer);
      continue;
    }
    const slowHere = slow?.get(place);
    if (slowHere === undefined) writer.u8(AnswerStatus.Reply);
    else encodeSlow(writer, slowHere);
    writer.u32(answer.reduce((sum, { length }) => sum + length, 0));
    for (const part of answer) {
      if (part.length < PASSED_ON_BYTES) writer.raw(part);
      else {
        done.push(writer.finishView(), part);
        writer = new ByteWriter(256);
      }
    }
  }
  return done.length === 0 ? writer.finishView() : [...done, writer.finishView()];
}

/** As many bytes as the answers take that are copied, about. */
function roomFor(answers: readonly EncodedAnswer[]): number {
  let bytes = 4;
  for (const answer of answers) {
    bytes += STATUS_BYTES;
    if (answer instanceof Error) continue;
    for (const { length } of answer) if (length < PASSED_ON_BYTES) bytes += length;
  }
  return bytes;
}

/**
 * Decodes the answers to a batch; replies are views of `bytes`. @throws RangeError when it is cut short
 * @param tookLong is told what took long of the request in a place
 */
export function decodeAnswers(bytes: Buffer, tookLong?: TookLong): ForwardedAnswer[] {
  const reader = new ByteReader(bytes, 'a forwarded answer', RangeError);
  const refusals = new RefusalDecoder(tookLong);
  const count = reader.u32();
  const answers: ForwardedAnswer[] = [];
  for (let place = 0; place < count; place++) answers.push(refusals.read(reader, place) ?? reader.view());
  return answers;
}

/** Encodes one page of keys, or why there is none. */
export function encodePageAnswer(page: KeyPage | Refusal): Buffer {
  const writer = new ByteWriter(256);
  if (page instanceof KvorumError) {
    encodeStatus(writer, page);
    return writer.finishView();
  }
  encodeStatus(writer, undefined);
  writer.u8(page.next === undefined ? 0 : 1);
  if (page.next !== undefined) writer.bytes(page.next);
  writer.u32(page.examined);
  writer.u32(page.storageKeys.length);
  for (const key of page.storageKeys) writer.bytes(key);
  return writer.finishView();
}

/** Decodes one page of keys; they are views of `bytes`. @throws the refusal; RangeError when it is cut short */
export function decodePageAnswer(bytes: Buffer): KeyPage {
  const reader = new ByteReader(bytes, 'a forwarded answer', RangeError);
  const refusal = new RefusalDecoder().read(reader);
  if (refusal !== undefined) throw refusal;
  const next = reader.u8() === 1 ? reader.view() : undefined;
  const examined = reader.u32();
  return { next, examined, storageKeys: Array.from({ length: reader.u32() }, () => reader.view()) };
}

/** Encodes a number of keys. */
export function encodeCountAnswer(count: number): Buffer {
  const writer = new ByteWriter(8);
  writer.u64(BigInt(count));
  return writer.finishView();
}

/** Decodes a number of keys. @throws RangeError when it is cut short */
export function decodeCountAnswer(bytes: Buffer): number {
  return Number(new ByteReader(bytes, 'a forwarded answer', RangeError).u64());
}
