/** XCLAIM and XAUTOCLAIM: consumers take over what others were given. */
import {
  idText,
  openStream,
  type PendingEntry,
  type StreamBody,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
} from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { countArgument, errors, integerArgument, optionName, RedisError, type Reply } from '../../protocol/index.ts';
import { ID_PIECES_DIFFER, idPieces } from '../pieces.ts';
import { newConsumer } from './consumers.ts';
import { declareStream, noGroup } from './declare-stream.ts';
import { entryReply, idArgument, idOrNot, isAbove, leadingIds, startArgument } from './ids.ts';

const MIN_TEXT = '0-0';
/** Unless COUNT says otherwise. */
const USUAL_COUNT = 100;
/** XAUTOCLAIM looks at so many times what it may answer. */
const ATTEMPTS_FACTOR = 10;
/** And at no more than this: whoever has more to claim goes on from the id that is answered. */
const MOST_ATTEMPTS = 2_000;
/** It claims no more than this at a time: each entry is written down for another consumer, in one turn of the leader. */
const MOST_CLAIMED = 500;

interface ClaimOptions {
  readonly isForced: boolean;
  readonly isJustId: boolean;
  /** When the entry is said to have been delivered. */
  readonly deliveredMs: number;
  readonly deliveries: number | undefined;
  readonly lastId: StreamId | undefined;
}

const capped = (value: bigint): number => Math.min(Number(value), Number.MAX_SAFE_INTEGER);

/** @throws RedisError */
function minIdle(argument: Buffer, name: string): number {
  return Math.max(0, Number(integerArgument(argument, `ERR Invalid min-idle-time argument for ${name}`)));
}

/** @param from position of the first option @throws RedisError */
function parseClaim(args: readonly Buffer[], from: number, nowMs: number): ClaimOptions {
  let [isForced, isJustId] = [false, false];
  let deliveredMs = nowMs;
  let deliveries: bigint | undefined;
  let lastId: StreamId | undefined;
  for (let at = from; at < args.length; at++) {
    const name = optionName(args[at]!);
    const hasMore = at + 1 < args.length;
    const number = (): bigint => integerArgument(args[++at]!, `ERR Invalid ${name} option argument for XCLAIM`);
    if (name === 'FORCE') isForced = true;
    else if (name === 'JUSTID') isJustId = true;
    else if (name === 'IDLE' && hasMore) deliveredMs = nowMs - Number(number());
    else if (name === 'TIME' && hasMore) deliveredMs = Number(number());
    else if (name === 'RETRYCOUNT' && hasMore) deliveries = number();
    else if (name === 'LASTID' && hasMore) lastId = idArgument(args[++at]!);
    else throw new RedisError(`ERR Unrecognized XCLAIM option '${args[at]!.toString('latin1')}'`);
  }
  // A time that cannot be is taken for now.
  if (deliveredMs < 0 || deliveredMs > nowMs) deliveredMs = nowMs;
  const counted = deliveries === undefined || deliveries < 0n ? undefined : capped(deliveries);
  return { isForced, isJustId, deliveredMs, deliveries: counted, lastId };
}

/** The stream and the group that a command names. @throws RedisError */
function opened(ctx: CommandContext, args: readonly Buffer[]): { stream: StreamBody; group: StreamGroup } {
  const stream = openStream(ctx, args[1]!);
  const group = stream?.group(args[2]!);
  if (stream === undefined || group === undefined) throw noGroup(args[1]!, args[2]!);
  return { stream, group };
}

/** The consumer that takes entries over: made with the first one. */
class Claimant {
  private readonly ctx: CommandContext;
  private readonly key: Buffer;
  private readonly group: StreamGroup;
  private readonly name: Buffer;
  private known: StreamConsumer | undefined;

  constructor(ctx: CommandContext, key: Buffer, group: StreamGroup, name: Buffer) {
    this.ctx = ctx;
    this.key = key;
    this.group = group;
    this.name = name;
  }

  get consumer(): StreamConsumer {
    if (this.known === undefined) {
      const { nowMs } = this.ctx;
      this.known = this.group.consumer(this.name) ?? newConsumer(this.ctx, this.key, this.group, this.name);
      this.known.seenMs = nowMs;
    }
    return this.known;
  }
}

function claim(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { stream, group } = opened(ctx, args);
  const minIdleMs = minIdle(args[4]!, 'XCLAIM');
  const ids: StreamId[] = [];
  for (const argument of args.slice(5)) {
    const id = idOrNot(argument);
    if (id === undefined) break;
    ids.push(id);
  }
  const options = parseClaim(args, 5 + ids.length, ctx.nowMs);
  if (options.lastId !== undefined && isAbove(options.lastId, group.lastDelivered))
    group.lastDelivered = Buffer.from(options.lastId);
  stream.prefetch(ids);
  group.prefetch(ids);
  const claimant = new Claimant(ctx, args[1]!, group, args[3]!);
  const claimed: Reply[] = [];
  for (const id of ids) {
    const entry = stream.get(id);
    if (entry === undefined) {
      // What is gone is not pending any more.
      group.release(id);
      continue;
    }
    const before = group.pendingEntry(id);
    if (before === undefined ? !options.isForced : ctx.nowMs - before.deliveredMs < minIdleMs) continue;
    const counted = (before?.deliveries ?? 1) + (options.isJustId ? 0 : 1);
    group.assign(id, claimant.consumer, options.deliveredMs, options.deliveries ?? counted);
    claimed.push(options.isJustId ? idText(id) : entryReply(entry));
  }
  stream.save();
  return claimed;
}

interface AutoclaimOptions {
  readonly start: StreamId;
  readonly minIdleMs: number;
  readonly limit: number;
  readonly isJustId: boolean;
}

/** @throws RedisError */
function parseAutoclaim(args: readonly Buffer[]): AutoclaimOptions {
  const minIdleMs = minIdle(args[4]!, 'XAUTOCLAIM');
  const start = startArgument(args[5]!);
  let limit = USUAL_COUNT;
  let isJustId = false;
  for (let at = 6; at < args.length; at++) {
    const name = optionName(args[at]!);
    if (name === 'COUNT' && at + 1 < args.length) limit = countArgument(args[++at]!, 1, 'ERR COUNT must be > 0');
    else if (name === 'JUSTID') isJustId = true;
    else throw errors.syntax();
  }
  return { start, minIdleMs, limit, isJustId };
}

function autoclaim(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const options = parseAutoclaim(args);
  const { stream, group } = opened(ctx, args);
  const taken = new Autoclaim(ctx, stream, group, new Claimant(ctx, args[1]!, group, args[3]!), options);
  taken.run();
  stream.save();
  return [taken.next === undefined ? MIN_TEXT : idText(taken.next), taken.claimed, taken.deleted.map(idText)];
}

/** One walk over what is pending. */
class Autoclaim {
  readonly claimed: Reply[] = [];
  /** Ids of entries that are gone, which are not pending any more. */
  readonly deleted: StreamId[] = [];
  /** Where the next walk begins; undefined at the end. */
  next: StreamId | undefined;
  private readonly ctx: CommandContext;
  private readonly stream: StreamBody;
  private readonly group: StreamGroup;
  private readonly claimant: Claimant;
  private readonly options: AutoclaimOptions;

  constructor(
    ctx: CommandContext,
    stream: StreamBody,
    group: StreamGroup,
    claimant: Claimant,
    options: AutoclaimOptions,
  ) {
    this.ctx = ctx;
    this.stream = stream;
    this.group = group;
    this.claimant = claimant;
    this.options = options;
  }

  run(): void {
    let attempts = Math.min(this.options.limit * ATTEMPTS_FACTOR, MOST_ATTEMPTS);
    const limit = Math.min(this.options.limit, MOST_CLAIMED);
    this.next = this.options.start;
    while (this.next !== undefined) {
      // What is pending changes under the walk, so it goes in steps: what may be taken, and the one behind.
      const wanted = Math.min(limit - this.claimed.length - this.deleted.length, attempts);
      const step = this.pendingFrom(this.next, wanted + 1);
      const looked = step.slice(0, wanted);
      this.stream.prefetch(looked.map(({ id }) => id));
      for (const entry of looked) this.take(entry);
      attempts -= looked.length;
      this.next = step[wanted]?.id;
      if (wanted === 0) return;
    }
  }

  private pendingFrom(id: StreamId, atMost: number): PendingEntry[] {
    const entries: PendingEntry[] = [];
    for (const entry of this.group.pendingFrom(id, atMost)) if (entries.push(entry) === atMost) break;
    return entries;
  }

  private take({ id, deliveredMs, deliveries }: PendingEntry): void {
    const { ctx, group, claimed, options } = this;
    const entry = this.stream.get(id);
    if (entry === undefined) {
      group.release(id);
      this.deleted.push(id);
      return;
    }
    if (ctx.nowMs - deliveredMs < options.minIdleMs) return;
    group.assign(id, this.claimant.consumer, ctx.nowMs, deliveries + (options.isJustId ? 0 : 1));
    claimed.push(options.isJustId ? idText(id) : entryReply(entry));
  }
}

const AT_ONCE =
  `Looks at ${MOST_ATTEMPTS.toLocaleString('en')} entries at most at a time and claims ${MOST_CLAIMED}, whatever COUNT says; the id that is ` +
  'answered says where to go on.';

export const claimCommands: readonly CommandSpec[] = defineCommands([
  declareStream({
    name: 'xclaim',
    arity: -6,
    flags: ['write', 'fast'],
    summary: 'Lets a consumer take over entries that others were given, by their ids.',
    complexity: 'O(log N) for each, of N that are pending',
    differences: ID_PIECES_DIFFER,
    pieces: idPieces(5, 'list', (args) => leadingIds(args, 5)),
    run: claim,
  }),
  declareStream({
    name: 'xautoclaim',
    arity: -6,
    flags: ['write', 'fast'],
    since: '6.2.0',
    summary: 'Lets a consumer take over entries that others were given long ago.',
    complexity: 'O(log N) for each, of N that are pending',
    differences: AT_ONCE,
    run: autoclaim,
  }),
]);
