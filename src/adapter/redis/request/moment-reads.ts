/**
 * Calls that name very many keys and do the same with each of them by itself, such as MGET. Nothing of such a call is done for all names in one turn: some
 * hundred at a time are read at one moment that everything acknowledged before lies below, evaluated, and written down as bytes of the reply. So it is one
 * read of all its keys, in whatever groups they are, and whoever has other work for this node or for a leader waits for some hundred names at most.
 */
import {
  EvaluationTooLongError,
  type KvService,
  type LiveValue,
  RowsView,
  SnapshotUncoveredError,
} from '../../../kv/index.ts';
import { type Clock, type Millis, nextTurn, type Scheduler } from '../../../platform/index.ts';
import { isSnapshotTooOld } from '../../../store/index.ts';
import type { CommandSpec } from '../command/index.ts';
import { areOfOneSlot } from '../keys/index.ts';
import { EncodedParts, integerIn, type Reply, ReplyWriter, splitArrayReply } from '../protocol/index.ts';
import type { Moment, MomentLine } from '../state/index.ts';
import type { CommandRequest } from './group-request.ts';
import { crossGroup } from './routing.ts';

/** Names of a call beyond which it is read so: a leader evaluates as many in a turn of some 20 ms. */
const MANY_NAMES = 4_096;
/** Names of the first piece: nobody knows how long their values are. */
const FIRST_NAMES = 16;
/** Names of a piece: so many are one question to a group. */
const MOST_NAMES = 512;
/** A piece has fewer names when the values before were so long that it would have more bytes. */
const PIECE_BYTES = 1024 * 1024;
/** A piece has at most so many times the names of the one before. */
const GROWTH = 4;
/** Moments that are tried: one is lost when keys are met of a group that nobody knew at its beginning. */
const MAX_MOMENTS = 3;
/** Rounds of reading rows that values have beside their keys. */
const MAX_ROUNDS = 256;

/** Whether a call is read at a moment, a piece at a time. */
export const readsAtMoment = ({ readsEach }: CommandSpec, args: readonly Buffer[]): boolean =>
  readsEach !== undefined && args.length > MANY_NAMES;

export interface MomentReadEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** For each piece: a call that gets on may take its time. */
  readonly commandTimeoutMs: Millis;
}

export interface MomentReadOptions {
  /** Clients that follow redirects are told that the keys are of several groups. */
  readonly staysInGroup: boolean;
  /** The client is there. */
  readonly isWanted: () => boolean;
}

/**
 * Reads a call for which `readsAtMoment` holds.
 * @throws EvaluationTooLongError when the reply is too long; RedisError when the keys are in several groups and may not be; as reads of snapshots
 */
export async function readAtMoment(
  environment: MomentReadEnvironment,
  line: MomentLine,
  request: CommandRequest,
  options: MomentReadOptions,
): Promise<Reply> {
  return line.take(async (grows) => {
    for (let tries = 1; ; tries++) {
      const moment = await line.source.snapshot({
        consistency: { kind: 'linearizable' },
        deadlineMs: environment.clock.monotonicMs() + environment.commandTimeoutMs,
      });
      try {
        return await new MomentRead(environment, request, options, moment, grows).run();
      } catch (error) {
        const isLost = error instanceof SnapshotUncoveredError || isSnapshotTooOld(error);
        if (!isLost || tries === MAX_MOMENTS) throw error;
      } finally {
        moment.release();
      }
    }
  });
}

/** One call at one moment. */
class MomentRead {
  private readonly environment: MomentReadEnvironment;
  private readonly request: CommandRequest;
  private readonly options: MomentReadOptions;
  private readonly moment: Moment;
  private readonly grows: (bytes: number) => boolean;
  private readonly writer = new ReplyWriter();
  private readonly parts: Buffer[] = [];
  /** Of replies that are numbers. */
  private sum = 0;

  constructor(
    environment: MomentReadEnvironment,
    request: CommandRequest,
    options: MomentReadOptions,
    moment: Moment,
    grows: (bytes: number) => boolean,
  ) {
    this.environment = environment;
    this.request = request;
    this.options = options;
    this.moment = moment;
    this.grows = grows;
  }

  async run(): Promise<Reply> {
    const { args, spec } = this.request;
    const isList = spec.readsEach === 'list';
    if (isList) this.writer.beginArray(args.length - 1);
    let size = FIRST_NAMES;
    for (let from = 1; from < args.length && this.options.isWanted(); ) {
      const to = Math.min(args.length, from + size);
      const piece = this.request.withArgs([args[0]!, ...args.slice(from, to)]);
      const bytes = await this.readPiece(piece, isList);
      const fitting = Math.floor((PIECE_BYTES * (to - from)) / Math.max(1, bytes));
      size = Math.max(1, Math.min(MOST_NAMES, size * GROWTH, fitting));
      from = to;
      await nextTurn(this.environment.scheduler);
    }
    return isList ? new EncodedParts(this.parts) : this.sum;
  }

  /** @returns bytes of the values that were read */
  private async readPiece(piece: CommandRequest, isList: boolean): Promise<number> {
    const keys = piece.storageKeys();
    if (this.options.staysInGroup) this.checkGroup(keys);
    let bytes = 0;
    const reply = await this.evaluate(piece, keys, ({ value }) => {
      bytes += value.length;
    });
    piece.emitEffects();
    if (!isList) {
      this.sum += integerIn(reply);
      return bytes;
    }
    for (const element of splitArrayReply(reply)!) this.writer.write(element, piece.resp);
    const written = this.writer.take();
    for (const part of written) this.parts.push(part);
    if (!this.grows(written.reduce((sum, { length }) => sum + length, 0))) {
      throw new EvaluationTooLongError('the reply, with those of others that are being read, is too long');
    }
    return bytes;
  }

  private checkGroup(keys: readonly Buffer[]): void {
    const { kv } = this.environment;
    const first = this.request.keyspace.storageKey(this.request.args[1]!);
    const group = kv.groupOf(first);
    const others = keys.filter((key) => kv.groupOf(key) !== group);
    if (others.length > 0 && !areOfOneSlot([first, ...others])) throw crossGroup();
  }

  /** Evaluates over the values of its keys, and of whatever rows they have beside them. */
  private async evaluate(
    piece: CommandRequest,
    keys: readonly Buffer[],
    onRead: (value: LiveValue) => void,
  ): Promise<Reply> {
    const { clock, commandTimeoutMs } = this.environment;
    let wanted = keys;
    let view: RowsView | undefined;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const values = await this.moment.get(wanted, clock.monotonicMs() + commandTimeoutMs);
      // The moment is certain once something was read at it.
      view ??= new RowsView(this.moment.ts, (key) => key);
      for (const [at, key] of wanted.entries()) {
        view.addKey(key);
        const value = values[at];
        if (value === undefined) continue;
        view.addRow(key, value);
        onRead(value);
      }
      const outcome = view.run((seen) => piece.evaluate(seen));
      if (outcome.kind === 'reply') return outcome.reply as Reply;
      if (outcome.kind === 'error') throw outcome.error;
      wanted = outcome.keys;
    }
    throw new EvaluationTooLongError(`the command finds what it reads in more than ${MAX_ROUNDS} steps`);
  }
}
