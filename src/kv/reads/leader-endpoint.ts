/**
 * The leader's side of reads that name their consistency, in the forwarded service `readat`, and the way to it.
 *
 *   request := kind u8, group u32, minTs u64, at u64, body          0: none
 *   body    := 1 keys: count u32, (length u32, bytes)*; 2 range: limit u32, start (length u32, bytes), end
 *   reply   := servedTs u64, rows or page as the service `txn` writes them
 */

import { type GroupId, groupId, type HlcTimestamp, hlcTimestamp } from '../../platform/index.ts';
import { CorruptEntryError, NotLeaderError } from '../errors.ts';
import type { GroupExecutor } from '../executor.ts';
import { forwarded } from '../forwarded.ts';
import { decodePage, decodeRows, encodePage, encodeRows } from '../txn/coordinator-wire.ts';
import type { KvService } from '../types.ts';
import type { AskLeader, LeaderAnswer } from './reader.ts';
import type { ReadAtRequest, ReadRange } from './types.ts';

/** Name of the forwarded service. */
export const READ_SERVICE = 'readat';

interface Question {
  readonly group: GroupId;
  readonly minTs: HlcTimestamp | undefined;
  readonly at: HlcTimestamp | undefined;
  readonly keys: readonly Buffer[] | undefined;
  readonly range: ReadRange | undefined;
}

const KEYS = 1;
const RANGE = 2;
const HEAD_BYTES = 21;

type Executors = (group: GroupId) => GroupExecutor | undefined;

const sized = (bytes: Buffer): Buffer[] => {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(bytes.length);
  return [length, bytes];
};

function encodeQuestion({ group, minTs, at, keys, range }: Question): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES + 4);
  head[0] = keys === undefined ? RANGE : KEYS;
  head.writeUInt32BE(group, 1);
  head.writeBigUInt64BE(minTs ?? 0n, 5);
  head.writeBigUInt64BE(at ?? 0n, 13);
  head.writeUInt32BE(keys?.length ?? range!.limit, HEAD_BYTES);
  const parts = keys ?? [range!.start, range!.end];
  return Buffer.concat([head, ...parts.flatMap(sized)]);
}

/** @throws CorruptEntryError */
function decodeQuestion(bytes: Buffer): Question {
  if (bytes.length < HEAD_BYTES + 4 || (bytes[0] !== KEYS && bytes[0] !== RANGE)) throw damaged();
  const tsAt = (offset: number): HlcTimestamp | undefined => {
    const ts = bytes.readBigUInt64BE(offset);
    return ts === 0n ? undefined : hlcTimestamp(ts);
  };
  const number = bytes.readUInt32BE(HEAD_BYTES);
  const parts: Buffer[] = [];
  for (let offset = HEAD_BYTES + 4; offset < bytes.length; ) {
    if (offset + 4 > bytes.length) throw damaged();
    const end = offset + 4 + bytes.readUInt32BE(offset);
    if (end > bytes.length) throw damaged();
    parts.push(bytes.subarray(offset + 4, end));
    offset = end;
  }
  const isKeys = bytes[0] === KEYS;
  if (parts.length !== (isKeys ? number : 2)) throw damaged();
  return {
    group: groupId(bytes.readUInt32BE(1)),
    minTs: tsAt(5),
    at: tsAt(13),
    keys: isKeys ? parts : undefined,
    range: isKeys ? undefined : { start: parts[0]!, end: parts[1]!, limit: number },
  };
}

const damaged = (): CorruptEntryError => new CorruptEntryError('a forwarded read is damaged or of another version');

/** Answers on the leader. @throws NotLeaderError and what the group's reads throw */
async function answerHere(executor: GroupExecutor, { minTs, at, keys, range }: Question): Promise<LeaderAnswer> {
  const { clock, txns } = executor;
  if (minTs !== undefined) clock.observeForeign(minTs, clock.maxLeadMs);
  const servedTs = at ?? (await draw(executor));
  if (keys !== undefined) return { servedTs, values: await txns.read({ keys, readTs: servedTs }), page: undefined };
  return { servedTs, values: [], page: await txns.scan(range!, servedTs) };
}

/** A timestamp that is above everything that was acknowledged before. */
const draw = (executor: GroupExecutor): Promise<HlcTimestamp> =>
  new Promise((resolve, reject) => {
    executor.draw(1, (error, ts) => (ts === undefined ? reject(error) : resolve(ts)));
  });

/** Starts to answer for this node's groups. @param executorOf undefined when there is no replica here */
export function serveReads(kv: Pick<KvService, 'onForward'>, executorOf: Executors): void {
  kv.onForward(READ_SERVICE, (payload, answer) => {
    const question = decodeQuestion(payload);
    const executor = executorOf(question.group);
    if (executor === undefined) {
      answer(new NotLeaderError(undefined), undefined);
      return;
    }
    answerHere(executor, question).then(
      ({ servedTs, values, page }) => {
        const head = Buffer.allocUnsafe(8);
        head.writeBigUInt64BE(servedTs);
        answer(undefined, Buffer.concat([head, page === undefined ? encodeRows(values) : encodePage(page)]));
      },
      (error: Error) => answer(error, undefined),
    );
  });
}

/** The way to the leader: a call where this node leads, else the proxy. */
export function leaderReads(kv: Pick<KvService, 'forward' | 'servesLocally'>, executorOf: Executors): AskLeader {
  return async (request, minTs, at) => {
    const question = questionOf(request, minTs, at);
    const executor = kv.servesLocally(request.group) ? executorOf(request.group) : undefined;
    if (executor !== undefined) {
      try {
        return await answerHere(executor, question);
      } catch (error) {
        // It has just stopped to lead; the proxy finds out who does.
        if (!(error instanceof NotLeaderError)) throw error;
      }
    }
    const reply = await forwarded(kv, request.group, READ_SERVICE, encodeQuestion(question), request.deadlineMs);
    return decodeAnswer(reply, question.keys === undefined);
  };
}

function decodeAnswer(reply: Buffer, isPage: boolean): LeaderAnswer {
  if (reply.length < 8) throw damaged();
  const servedTs = hlcTimestamp(reply.readBigUInt64BE(0));
  const body = reply.subarray(8);
  return isPage
    ? { servedTs, values: [], page: decodePage(body) }
    : { servedTs, values: decodeRows(body), page: undefined };
}

const questionOf = (
  request: ReadAtRequest,
  minTs: HlcTimestamp | undefined,
  at: HlcTimestamp | undefined,
): Question => ({
  group: request.group,
  minTs,
  at,
  keys: 'keys' in request ? request.keys : undefined,
  range: 'range' in request ? request.range : undefined,
});
