/**
 * What keyless commands (KEYS, SCAN, DBSIZE, RANDOMKEY, FLUSH*, INFO) work with: the key space in order, stretch by
 * stretch, each asked of the group that has it now. A group serves no more than what is its own and says where that ends,
 * so a key that stays is met exactly where it is when the walk comes by, however ranges move meanwhile. Answers of
 * different groups are not of one instant.
 */
import { forwarded, GroupRouter, type KvService } from '../../../kv/index.ts';
import {
  type Clock,
  type GroupId,
  KvorumError,
  type Millis,
  type Random,
  type Scheduler,
} from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import {
  type ClientSession,
  type CommandTable,
  type EvaluationSettings,
  type KeyPage,
  type KeySample,
  keyIndexes,
  type PageRequest,
  type ScanContext,
} from '../command/index.ts';
import { KEYSPACES, type KeyRange, type Keyspace, type ScanCursors } from '../keys/index.ts';
import { RedisError } from '../protocol/index.ts';
import { scanLocalPage } from './forward-endpoint.ts';
import { decodeCountAnswer, decodePageAnswer, encodeCount, encodePage, FORWARD_SERVICE } from './forwarded-command.ts';
import { CommandRequest, FlushRequest, type RequestOptions } from './group-request.ts';
import { sampleKeys } from './key-sample.ts';
import { runSingle } from './single-request.ts';

/** Stretches that one page may go through; a page over an empty space ends there, and the caller goes on. */
const MAX_STRETCHES_PER_PAGE = 16;
/** Pieces of a flush that are under way at one time. */
const FLUSHES_AT_A_TIME = 16;
const PARTLY_FLUSHED =
  'UNKNOWN not all ranges could be flushed: some keys are deleted and others may not be, run it again';

export interface ClusterScanEnvironment {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly cursors: ScanCursors;
  readonly settings: EvaluationSettings;
  readonly commandTimeoutMs: Millis;
  readonly table: Pick<CommandTable, 'resolve'>;
}

export class ClusterScan implements ScanContext {
  readonly session: ClientSession;
  readonly keyspace: Keyspace;
  private readonly environment: ClusterScanEnvironment;
  private readonly router: GroupRouter;

  constructor(environment: ClusterScanEnvironment, session: ClientSession, db: number = session.db) {
    this.environment = environment;
    this.router = new GroupRouter(environment);
    this.session = session;
    this.keyspace = KEYSPACES[db]!;
  }

  get random(): Random {
    return this.environment.random;
  }

  get cursors(): ScanCursors {
    return this.environment.cursors;
  }

  async count(db: number, timeoutMs = this.environment.commandTimeoutMs): Promise<number> {
    const { kv } = this.environment;
    const groups = kv.dataGroups();
    if (groups.length === 0) throw kv.unavailable('no group is known yet');
    const deadlineMs = this.router.deadline(timeoutMs);
    const counts = await Promise.all(
      groups.map((group) =>
        this.router.of({ deadlineMs, isRead: true }, async () => {
          const local = await this.locally(group, () => kv.countKeys(group, db));
          return local ?? decodeCountAnswer(await this.ask(group, encodeCount(group, db), deadlineMs));
        }),
      ),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  sample(db: number, keys: number): Promise<KeySample> {
    return sampleKeys(this.environment, db, keys);
  }

  async page(request: PageRequest): Promise<KeyPage> {
    const deadlineMs = this.router.deadline(this.environment.commandTimeoutMs);
    const storageKeys: Buffer[] = [];
    let examined = 0;
    let start = request.start;
    for (let stretch = 0; stretch < MAX_STRETCHES_PER_PAGE && examined < request.limit; stretch++) {
      const part = await this.partOfPage({ ...request, start, limit: request.limit - examined }, deadlineMs);
      for (const key of part.storageKeys) storageKeys.push(key);
      examined += part.examined;
      if (part.next === undefined) return { storageKeys, next: undefined, examined };
      start = part.next;
    }
    return { storageKeys, next: start, examined };
  }

  /** What the group that has `request.start` now says about the keys from there on. */
  private partOfPage(request: PageRequest, deadlineMs: Millis): Promise<KeyPage> {
    const { kv } = this.environment;
    return this.router.at([request.start], { deadlineMs, isRead: true }, async (group, stretch) => {
      // A group that was named in a refusal knows its own end; the directory's may be that of another range.
      const end = isBelow(stretch?.end, request.end) ? stretch!.end! : request.end;
      const part = { ...request, end };
      const local = await this.locally(group, () => scanLocalPage(kv, group, part));
      const page = local ?? decodePageAnswer(await this.ask(group, encodePage(group, part), deadlineMs));
      const next = page.next ?? (end === request.end ? undefined : end);
      return { ...page, next };
    });
  }

  async flush(range: KeyRange): Promise<void> {
    const deadlineMs = this.router.deadline(this.environment.commandTimeoutMs);
    const pieces = this.stretchesOf(range);
    let flushed = 0;
    let failure: unknown;
    const flushNext = async (): Promise<void> => {
      for (let piece = pieces.shift(); piece !== undefined && failure === undefined; piece = pieces.shift()) {
        try {
          await this.flushPiece(piece, deadlineMs, () => {
            flushed++;
          });
        } catch (error) {
          failure ??= error;
        }
      }
    };
    await Promise.all(Array.from({ length: FLUSHES_AT_A_TIME }, flushNext));
    if (failure === undefined) return;
    const isPartly = flushed > 0 && failure instanceof KvorumError && failure.disposition !== 'unknown';
    throw isPartly ? new RedisError(PARTLY_FLUSHED, { cause: failure }) : failure;
  }

  /** Flushes a range, cut again by the directory whenever a group refuses its part. */
  private async flushPiece(range: KeyRange, deadlineMs: Millis, flushed: () => void): Promise<void> {
    const { kv } = this.environment;
    for (let start = range.start; Buffer.compare(start, range.end) < 0; ) {
      start = await this.router.at([start], { deadlineMs, isRead: false }, async (group, stretch) => {
        const limit = stretch === undefined ? kv.stretchAt(start).end : stretch.end;
        const end = isBelow(limit, range.end) ? limit : range.end;
        const make = (options: RequestOptions) => new FlushRequest({ start, end }, options);
        await runSingle(this.environment, group, make, deadlineMs);
        return end;
      });
      flushed();
    }
  }

  async evaluate(db: number, args: readonly Buffer[]): Promise<Buffer> {
    const { spec } = this.environment.table.resolve(args)!;
    const keys = keyIndexes(spec, args).map((index) => KEYSPACES[db]!.storageKey(args[index]!));
    const deadlineMs = this.router.deadline(this.environment.commandTimeoutMs);
    const make = (options: RequestOptions) => new CommandRequest({ ...options, spec, args, db });
    return this.router.at(keys, { deadlineMs, isRead: !spec.flags.includes('write') }, (group) =>
      runSingle(this.environment, group, make, deadlineMs),
    );
  }

  /** A range cut at the borders between groups, as far as the directory knows them. */
  private stretchesOf(range: KeyRange): KeyRange[] {
    const pieces: KeyRange[] = [];
    let { start } = range;
    for (;;) {
      const { end } = this.environment.kv.stretchAt(start);
      if (!isBelow(end, range.end)) {
        pieces.push({ start, end: range.end });
        return pieces;
      }
      pieces.push({ start, end });
      start = end;
    }
  }

  /** Asks this node when it leads the group; undefined when it does not. */
  private async locally<T>(group: GroupId, ask: () => Promise<T>): Promise<T | undefined> {
    if (!this.environment.kv.servesLocally(group)) return undefined;
    try {
      return await ask();
    } catch (error) {
      if (error instanceof NotLeaderError) return undefined;
      throw error;
    }
  }

  private ask(group: GroupId, payload: Buffer, deadlineMs: Millis): Promise<Buffer> {
    return forwarded(this.environment.kv, group, FORWARD_SERVICE, payload, deadlineMs);
  }
}

/** True when `end` is a border that lies before `limit`; undefined is the end of the key space. */
const isBelow = (end: Buffer | undefined, limit: Buffer): end is Buffer =>
  end !== undefined && Buffer.compare(end, limit) < 0;
