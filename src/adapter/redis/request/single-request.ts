/** One request to one group, by itself: here when this node leads the group, else by its leader. */
import { forwarded, type KvService } from '../../../kv/index.ts';
import type { GroupId, Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import type { EvaluationSettings } from '../command/index.ts';
import { encodeReply, RedisError, type Reply } from '../protocol/index.ts';
import { decodeAnswers, encodeBatch, FORWARD_SERVICE } from './forwarded-command.ts';
import type { GroupRequest, RequestOptions, RequestOwner } from './group-request.ts';

/** What the bytes of an error begin with: `-`. */
const ERROR_MARK = 0x2d;

export interface SingleRequestEnvironment {
  readonly kv: KvService;
  readonly settings: EvaluationSettings;
}

/** Owner of a single request. */
class OneRequest implements RequestOwner {
  firstRefused = Number.POSITIVE_INFINITY;
  private readonly done: (error: Error | undefined, reply: Reply | undefined) => void;

  constructor(done: (error: Error | undefined, reply: Reply | undefined) => void) {
    this.done = done;
  }

  settled(_request: unknown, error: Error | undefined, reply: Reply | undefined): void {
    this.done(error, reply);
  }
}

/** Owner of a request that travels as bytes only. */
const NOBODY: RequestOwner = new OneRequest(() => {});

/**
 * @returns the reply as RESP2 bytes
 * @throws NotOwnerError, RangeBusyError, NotLeaderError and the like: nothing happened; RedisError that it was answered
 */
export async function runSingle(
  { kv, settings }: SingleRequestEnvironment,
  group: GroupId,
  make: (options: RequestOptions) => GroupRequest,
  deadlineMs: Millis,
): Promise<Buffer> {
  const request = make({ resp: 2, settings, owner: NOBODY, token: 0 });
  const bytes = (await runHere(kv, group, request)) ?? (await runThere(kv, group, request, deadlineMs));
  if (bytes[0] === ERROR_MARK) throw new RedisError(bytes.toString('latin1', 1).trimEnd());
  return bytes;
}

/** @returns undefined when this node does not lead the group */
async function runHere(kv: KvService, group: GroupId, request: GroupRequest): Promise<Buffer | undefined> {
  if (!kv.servesLocally(group)) return undefined;
  try {
    const reply = await new Promise<Reply>((resolve, reject) => {
      request.assignTo(
        new OneRequest((error, outcome) => {
          if (error === undefined) resolve(outcome ?? null);
          else reject(error);
        }),
      );
      kv.submit(group, request);
    });
    return encodeReply(reply, 2);
  } catch (error) {
    if (error instanceof NotLeaderError) return undefined;
    throw error;
  }
}

async function runThere(kv: KvService, group: GroupId, request: GroupRequest, deadlineMs: Millis): Promise<Buffer> {
  const payload = encodeBatch(group, [request]);
  const [answer] = decodeAnswers(await forwarded(kv, group, FORWARD_SERVICE, payload, deadlineMs));
  if (!Buffer.isBuffer(answer)) throw answer ?? new NotLeaderError(undefined);
  return answer;
}
