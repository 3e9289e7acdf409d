/**
 * The leader's side of reads that name their consistency, in the forwarded service `readat`, and the way to it. Big-endian.
 *
 *   request := group u32, moment u8, ts u64, body u8, keys | range | nothing
 *   moment  := 0 now, above ts (0: no bound) | 1 at ts | 2 session: at ts or later, as the leader likes
 *   body    := 0 keys: count u32, key* | 1 range: start, end, limit u32, keysOnly u8, reverse u8, [maxBytes u32] | 2 nothing: the timestamp alone
 *   reply   := servedTs u64, ageMs + 1 u64 (0: nobody knows), rows or page as the service `txn` writes them
 */
import {
  ByteReader,
  ByteWriter,
  type Elapsed,
  type GroupId,
  groupId,
  type HlcTimestamp,
  isOutcomeUnknown,
  type Millis,
} from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import { isSnapshotTooOld } from '../../store/index.ts';
import {
  CorruptEntryError,
  type KvService,
  LeaderUnavailableError,
  type LiveValue,
  type ReadRange,
  readRange,
  type ScanPage,
  writeRange,
} from '../contract/index.ts';
import { forwarded } from '../forward/index.ts';
import type { GroupExecutor } from '../leader/index.ts';
import { decodePage, decodeRows, encodePage, encodeRows } from '../txn/index.ts';
import type { ReplicaClaims } from './claims.ts';
import { draw } from './read-index.ts';

/** Name of the forwarded service. */
export const READ_SERVICE = 'readat';

/** Which moment a read is of. */
export type Moment =
  /** A timestamp that the leader draws, so that everything acknowledged before is in it; it is above `ts`, 0n for no matter. */
  | { readonly kind: 'now'; readonly ts: HlcTimestamp }
  | { readonly kind: 'at'; readonly ts: HlcTimestamp }
  /** The newest that is closed, or `ts` when that is newer: so a session does not run ahead of the replicas. */
  | { readonly kind: 'session'; readonly ts: HlcTimestamp };

/** What is read there; nothing: the timestamp alone is wanted. */
export type ReadBody =
  | { readonly kind: 'keys'; readonly keys: readonly Buffer[] }
  | { readonly kind: 'range'; readonly range: ReadRange }
  | { readonly kind: 'nothing' };

/** A read of one group. */
export interface ReadQuestion {
  readonly group: GroupId;
  readonly moment: Moment;
  readonly body: ReadBody;
}

/** What the leader answers. */
export interface LeaderAnswer {
  readonly servedTs: HlcTimestamp;
  /** Everything that was acknowledged so long before the answer was made is in it; undefined: nobody knows. */
  readonly ageMs: Millis | undefined;
  readonly values: readonly (LiveValue | undefined)[];
  readonly page: ScanPage | undefined;
}

/** Asks the leader of a group, wherever it is. @param deadlineMs monotonic @throws as `KvService.forward`, and what reads throw */
export type AskLeader = (question: ReadQuestion, deadlineMs: Millis) => Promise<LeaderAnswer>;

/** A group as its leader here answers for it. */
export interface AnsweringGroup {
  readonly executor: GroupExecutor;
  /** What this node said itself of the group, and was told before. */
  readonly claims: ReplicaClaims;
  readonly elapsed: Elapsed;
}

type AnsweringGroups = (group: GroupId) => AnsweringGroup | undefined;

/** A session is not shown what is older than this, although it may be. */
export const MAX_SESSION_AGE_MS: Millis = 10_000;

const CODEC = 1;
/** Wire values: only ever append. */
const MOMENTS = ['now', 'at', 'session'] as const;
const BODIES = ['keys', 'range', 'nothing'] as const;

/** Encodes a question. */
export function encodeReadQuestion({ group, moment, body }: ReadQuestion): Buffer {
  const writer = new ByteWriter(96)
    .u8(CODEC)
    .u32(group)
    .u8(MOMENTS.indexOf(moment.kind))
    .u64(moment.ts)
    .u8(BODIES.indexOf(body.kind));
  if (body.kind === 'keys') {
    writer.u32(body.keys.length);
    for (const key of body.keys) writer.bytes(key);
  } else if (body.kind === 'range') {
    writeRange(writer, body.range);
  }
  return writer.finish();
}

/** @throws CorruptEntryError for bytes that `encodeReadQuestion` cannot have written */
export function decodeReadQuestion(bytes: Buffer): ReadQuestion {
  const reader = new ByteReader(bytes, 'a question at a timestamp', CorruptEntryError);
  reader.version(CODEC);
  const group = groupId(reader.u32());
  const moment = { kind: reader.oneOf(MOMENTS), ts: reader.timestamp() };
  const kind = reader.oneOf(BODIES);
  let body: ReadBody;
  if (kind === 'keys') {
    const keys: Buffer[] = [];
    for (let left = reader.u32(); left > 0; left--) keys.push(reader.bytes());
    body = { kind, keys };
  } else if (kind === 'range') {
    body = { kind, range: readRange(reader) };
  } else body = { kind };
  reader.end();
  return { group, moment, body };
}

/** Encodes what a leader answers. */
export function encodeReadAnswer({ servedTs, ageMs, values, page }: LeaderAnswer): Buffer {
  const body = page === undefined ? encodeRows(values) : encodePage(page);
  return new ByteWriter(32 + body.length)
    .u64(servedTs)
    .u53(ageMs === undefined ? 0 : Math.ceil(ageMs) + 1)
    .bytes(body)
    .finish();
}

/** @throws CorruptEntryError */
export function decodeReadAnswer(bytes: Buffer, isPage: boolean): LeaderAnswer {
  const reader = new ByteReader(bytes, 'an answer at a timestamp', CorruptEntryError);
  const servedTs = reader.timestamp();
  const age = reader.u53();
  const body = reader.bytes();
  reader.end();
  const ageMs = age === 0 ? undefined : age - 1;
  return isPage
    ? { servedTs, ageMs, values: [], page: decodePage(body) }
    : { servedTs, ageMs, values: decodeRows(body), page: undefined };
}

/** Answers on the leader. @throws NotLeaderError and what the group's reads throw */
async function answerHere(group: AnsweringGroup, question: ReadQuestion): Promise<LeaderAnswer> {
  const { executor } = group;
  const { moment } = question;
  const at = moment.kind === 'now' ? undefined : timeOf(group, moment);
  if (at !== undefined) {
    try {
      const answer = await readAt(executor, question, at);
      return { ...answer, ageMs: ageOf(group, group.claims.coverageOf(keysOf(question), at)) };
    } catch (error) {
      // A session may be shown anything that is new enough.
      if (moment.kind !== 'session' || !isSnapshotTooOld(error)) throw error;
    }
  }
  if (moment.ts > 0n) executor.clock.observeForeign(moment.ts, executor.clock.maxLeadMs);
  const answer = await readAt(executor, question, await draw(executor));
  const isWhole = question.body.kind === 'nothing' || !group.claims.missesForeign(keysOf(question), answer.servedTs);
  // A transaction whose lock was waited for has committed above the timestamp, and may have been acknowledged before the
  // question. All such locks have ended now and the clock is past them, so a second look sees what they left.
  return isWhole ? answer : readAt(executor, question, await draw(executor));
}

/** What to read at; undefined: draw a timestamp. */
function timeOf(group: AnsweringGroup, { kind, ts }: Moment): HlcTimestamp | undefined {
  if (kind === 'at') return ts;
  const closedTs = group.claims.current()?.closedTs;
  const at = closedTs !== undefined && closedTs > ts ? closedTs : ts;
  // A group that was at rest has closed nothing for long.
  const ageMs = ageOf(group, group.claims.coveredAt(at));
  return ageMs !== undefined && ageMs <= MAX_SESSION_AGE_MS ? at : undefined;
}

const ageOf = ({ elapsed }: AnsweringGroup, coveredMs: Millis | undefined): Millis | undefined =>
  coveredMs === undefined ? undefined : elapsed.elapsedMs() - coveredMs;

async function readAt({ txns }: GroupExecutor, { body }: ReadQuestion, servedTs: HlcTimestamp): Promise<LeaderAnswer> {
  const ageMs = 0;
  if (body.kind === 'range') return { servedTs, ageMs, values: [], page: await txns.scan(body.range, servedTs) };
  const keys = body.kind === 'keys' ? body.keys : [];
  const { rows } = await txns.read({ keys, readTs: servedTs });
  return { servedTs, ageMs, values: rows, page: undefined };
}

const keysOf = ({ body }: ReadQuestion): readonly Buffer[] | undefined =>
  body.kind === 'keys' ? body.keys : undefined;

/** Starts to answer for this node's groups. @param groupOf undefined when there is no replica here */
export function serveReads(kv: Pick<KvService, 'onForward'>, groupOf: AnsweringGroups): void {
  kv.onForward(READ_SERVICE, (payload, answer) => {
    const question = decodeReadQuestion(payload);
    const group = groupOf(question.group);
    if (group === undefined) {
      answer(new NotLeaderError(undefined), undefined);
      return;
    }
    answerHere(group, question).then(
      (reply) => answer(undefined, encodeReadAnswer(reply)),
      (error: Error) => answer(error, undefined),
    );
  });
}

/** The way to the leader: a call where this node leads, else the proxy. */
export function leaderReads(kv: Pick<KvService, 'forward' | 'servesLocally'>, groupOf: AnsweringGroups): AskLeader {
  return async (question, deadlineMs) => {
    const here = kv.servesLocally(question.group) ? groupOf(question.group) : undefined;
    if (here !== undefined) {
      try {
        return await answerHere(here, question);
      } catch (error) {
        // It has just stopped to lead; the proxy finds out who does.
        if (!(error instanceof NotLeaderError)) throw error;
      }
    }
    const asked = forwarded(kv, question.group, READ_SERVICE, encodeReadQuestion(question), deadlineMs);
    return decodeReadAnswer(await asked.catch(unanswered), question.body.kind === 'range');
  };
}

/** A read has no outcome that could be unknown. */
function unanswered(error: unknown): never {
  if (!isOutcomeUnknown(error)) throw error;
  throw new LeaderUnavailableError('the leader did not answer in time; nothing happened', { cause: error });
}
