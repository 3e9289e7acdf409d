/**
 * What a connection asks of one group: a command, a transaction, the versions of watched keys, or a flush. Each is an
 * `Operation` that runs on the group's leader, here or there; `forwarded-command.ts` carries it from one to the other.
 */
import type { KeyView, Operation } from '../../kv/index.ts';
import { assert, type HlcTimestamp, hlcTimestamp } from '../../platform/index.ts';
import type { CommandSpec } from './command.ts';
import { EvaluationContext, type EvaluationSettings } from './context.ts';
import { errorText, isUnexpected } from './errors.ts';
import type { KeyRange } from './keyspace.ts';
import { EncodedReply, ErrorReply, NIL_ARRAY, OK, type Reply } from './reply.ts';

/** Who is told about a request's outcome. */
export interface RequestOwner {
  /** Called exactly once a submission. */
  settled(request: GroupRequest, error: Error | undefined, reply: Reply | undefined): void;
}

/** One operation on one group that a connection waits for: it can run on this node or travel to the leader as bytes. */
export abstract class GroupRequest implements Operation<Reply> {
  readonly resp: 2 | 3;
  protected readonly settings: EvaluationSettings;
  /** The owner's own name for the request. */
  readonly token: number;
  private owner: RequestOwner;
  /** When the owner gives up on finding a leader, monotonic; 0 until it had to look for one. */
  deadlineMs = 0;
  abstract readonly isWrite: boolean;

  constructor(resp: 2 | 3, settings: EvaluationSettings, owner: RequestOwner, token: number) {
    this.resp = resp;
    this.settings = settings;
    this.owner = owner;
    this.token = token;
  }

  abstract evaluate(view: KeyView): Reply;

  complete(error: Error | undefined, reply: Reply | undefined): void {
    this.owner.settled(this, error, reply);
  }

  /** Hands the request to another owner, who submits it next. */
  assignTo(owner: RequestOwner): void {
    this.owner = owner;
  }
}

/** One data command. */
export class CommandRequest extends GroupRequest {
  readonly spec: CommandSpec;
  readonly args: readonly Buffer[];
  readonly db: number;
  /** The first key and its storage key, known from routing. */
  private readonly firstKey: Buffer | undefined;
  private readonly firstStorageKey: Buffer | undefined;

  constructor(
    spec: CommandSpec,
    args: readonly Buffer[],
    db: number,
    resp: 2 | 3,
    settings: EvaluationSettings,
    owner: RequestOwner,
    token: number,
    firstKey?: Buffer,
    firstStorageKey?: Buffer,
  ) {
    super(resp, settings, owner, token);
    this.spec = spec;
    this.args = args;
    this.db = db;
    this.firstKey = firstKey;
    this.firstStorageKey = firstStorageKey;
  }

  get isWrite(): boolean {
    return this.spec.flags.includes('write');
  }

  evaluate(view: KeyView): Reply {
    const ctx = new EvaluationContext(view, this.db, this.resp, this.settings, this.firstKey, this.firstStorageKey);
    return runData(this.spec, ctx, this.args);
  }
}

function runData(spec: CommandSpec, ctx: EvaluationContext, args: readonly Buffer[]): Reply {
  const { handler } = spec;
  assert(handler?.kind === 'data', `${spec.name} is not a data command`);
  return handler.run(ctx, args);
}

/** A key under WATCH: its storage key and the version that was read, 0n when it was absent. */
export interface WatchedKey {
  readonly storageKey: Buffer;
  readonly version: HlcTimestamp;
}

/** A queued command of a transaction. */
export interface QueuedData {
  readonly spec: CommandSpec;
  readonly args: readonly Buffer[];
  readonly db: number;
}

/** EXEC: all queued commands over one view, if no watched key changed. */
export class TransactionRequest extends GroupRequest {
  readonly watched: readonly WatchedKey[];
  readonly commands: readonly QueuedData[];

  constructor(
    watched: readonly WatchedKey[],
    commands: readonly QueuedData[],
    resp: 2 | 3,
    settings: EvaluationSettings,
    owner: RequestOwner,
    token: number,
  ) {
    super(resp, settings, owner, token);
    this.watched = watched;
    this.commands = commands;
  }

  get isWrite(): boolean {
    return this.commands.some(({ spec }) => spec.flags.includes('write'));
  }

  /** The commands' replies in order, or a nil array when a watched key changed. A command that fails does not stop the others. */
  evaluate(view: KeyView): Reply {
    for (const { storageKey, version } of this.watched) {
      if ((view.get(storageKey)?.commitTs ?? 0n) !== version) return NIL_ARRAY;
    }
    return this.commands.map(({ spec, args, db }): Reply => {
      try {
        return runData(spec, new EvaluationContext(view, db, this.resp, this.settings), args);
      } catch (error) {
        if (isUnexpected(error)) throw error;
        return new ErrorReply(errorText(error, true));
      }
    });
  }
}

/** What a WATCH read. */
export interface WatchedVersions {
  /** True when a version is the view's own timestamp: a later write of the same entry could leave the same one. */
  readonly ambiguous: boolean;
  /** One a key: 0n absent, else the commit timestamp. */
  readonly versions: readonly HlcTimestamp[];
}

/** WATCH: reads the versions of keys; its reply is read with `decodeVersions`. */
export class WatchRequest extends GroupRequest {
  readonly storageKeys: readonly Buffer[];
  readonly isWrite = false;

  constructor(
    storageKeys: readonly Buffer[],
    resp: 2 | 3,
    settings: EvaluationSettings,
    owner: RequestOwner,
    token: number,
  ) {
    super(resp, settings, owner, token);
    this.storageKeys = storageKeys;
  }

  evaluate(view: KeyView): Reply {
    const versions = Buffer.allocUnsafe(1 + this.storageKeys.length * 8);
    let ambiguous = false;
    this.storageKeys.forEach((key, index) => {
      const version = view.get(key)?.commitTs ?? 0n;
      ambiguous ||= version === view.ts;
      versions.writeBigUInt64BE(version, 1 + index * 8);
    });
    versions[0] = ambiguous ? 1 : 0;
    return versions;
  }
}

/** Reads a `WatchRequest`'s reply, whether it was evaluated here or comes encoded from the leader. */
export function decodeVersions(reply: Reply): WatchedVersions {
  let bytes: Buffer;
  if (reply instanceof EncodedReply) {
    const header = reply.bytes.indexOf('\r\n');
    bytes = reply.bytes.subarray(header + 2, reply.bytes.length - 2);
  } else {
    assert(Buffer.isBuffer(reply), 'versions are bytes');
    bytes = reply;
  }
  const versions: HlcTimestamp[] = [];
  for (let offset = 1; offset < bytes.length; offset += 8) versions.push(hlcTimestamp(bytes.readBigUInt64BE(offset)));
  return { ambiguous: bytes[0] === 1, versions };
}

/** FLUSHDB and FLUSHALL on one group. */
export class FlushRequest extends GroupRequest {
  readonly range: KeyRange;
  readonly isWrite = true;

  constructor(range: KeyRange, resp: 2 | 3, settings: EvaluationSettings, owner: RequestOwner, token: number) {
    super(resp, settings, owner, token);
    this.range = range;
  }

  evaluate(view: KeyView): Reply {
    view.deleteRange(this.range.start, this.range.end);
    return OK;
  }
}
